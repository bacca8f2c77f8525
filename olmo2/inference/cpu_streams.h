// Products of few tokens with weights that stream through once, as fast as memory gives them.
#pragma once

#include "cpu_matrix.h"

namespace {

constexpr int MOST_AT_ONCE = LANES == 16 ? 6 : 3;  // tokens whose sums with four rows there are registers for

// y[m][row] = w[row] · x[m] for ROWS rows that lie `apart` rows from each other, and TOKENS tokens, as accumulators in
// registers. IS_FIRST: the weights come from memory, and so will the rows after them: these are asked for meanwhile.
template <int ROWS, int TOKENS, bool IS_FIRST, typename Weight>
inline void block(const Weight* w, int apart, int columns, const float* x, float* y, int y_stride) {
    Vector sums[ROWS][TOKENS] = {};
    size_t stride = size_t(apart) * columns;
    int column = 0;
    for (; column + LANES <= columns; column += LANES) {
        Vector inputs[TOKENS];
        for (int m = 0; m < TOKENS; ++m) {
            inputs[m] = load(x + size_t(m) * columns + column);
            keep_in_register(inputs[m]);
        }
        for (int row = 0; row < ROWS; ++row) {
            if (IS_FIRST) ask_for(w + row * stride + columns + column);
            Vector weight = load(w + row * stride + column);
            for (int m = 0; m < TOKENS; ++m) sums[row][m] += weight * inputs[m];
        }
    }
    for (int row = 0; row < ROWS; ++row)
        for (int m = 0; m < TOKENS; ++m) {
            float total = sum(sums[row][m]);
            for (int rest = column; rest < columns; ++rest)
                total += to_float(w[row * stride + rest]) * x[size_t(m) * columns + rest];
            y[size_t(m) * y_stride + row * apart] = total;
        }
}

template <int ROWS, typename Weight>
inline void rows_times_tokens(const Weight* w, int apart, int columns, const float* x, int num_tokens, float* y, int y_stride) {
    in_equal_groups<MOST_AT_ONCE>(num_tokens, [&](auto number, int first) {
        constexpr int TOKENS = decltype(number)::value;
        const float* from = x + size_t(first) * columns;
        float* to = y + size_t(first) * y_stride;
        if (first == 0) return block<ROWS, TOKENS, true>(w, apart, columns, from, to, y_stride);
        block<ROWS, TOKENS, false>(w, apart, columns, from, to, y_stride);
    });
}

template <typename Weight>
void stream_rows(const Matrix& matrix, const float* x, int num_tokens, float* y) {
    const Weight* weights = static_cast<const Weight*>(matrix.weights);
    int columns = matrix.columns;
    auto times_tokens = [&](auto rows, int row, int apart) {  // the rows stay in the cache for all tokens
        const Weight* w = weights + size_t(row) * columns;
        rows_times_tokens<decltype(rows)::value>(w, apart, columns, x, num_tokens, y + row, matrix.rows);
    };
    in_four_streams(
        matrix, [&](int row, int apart) { times_tokens(std::integral_constant<int, 4>{}, row, apart); },
        [&](int row) { times_tokens(std::integral_constant<int, 1>{}, row, 0); });
}

// Weights that are not float32 are widened once for several tokens.
void widened_rows(const Matrix& matrix, const float* x, int num_tokens, float* y) {
    static thread_local std::vector<float> buffer;
    int columns = matrix.columns;
    buffer.resize(columns);
    auto one_row = [&](int row) {
        widen_row(matrix, row, 0, columns, buffer.data());
        rows_times_tokens<1>(buffer.data(), 0, columns, x, num_tokens, y + row, matrix.rows);
    };
    auto four_rows = [&](int row, int apart) {
        for (int i = 0; i < 4; ++i) one_row(row + i * apart);
    };
    in_four_streams(matrix, four_rows, one_row);
}

}  // namespace
