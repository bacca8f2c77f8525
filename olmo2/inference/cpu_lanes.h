// Products of bfloat16 with many tokens, which are the lanes of vectors: a pair of a row's columns, as it lies, is spread
// over a vector and multiplied with that pair of 16 tokens. Nothing is summed over lanes, and no weights are turned.
#pragma once

#include "cpu_pairs.h"

namespace {

constexpr int MOST_VECTORS = 4;  // of 16 tokens, that are multiplied with a pair at a time
constexpr int LANE_SUMS = 24;    // vectors of sums that there are registers for
constexpr int LANE_ROWS = 48;    // rows whose products are put in their places together: a multiple of 24 / 1, 2, 3 and 4

inline int lane_vectors(int num_tokens) { return (num_tokens + LANES - 1) / LANES; }
inline size_t room_of_lanes(int num_tokens, int columns) { return size_t(lane_vectors(num_tokens)) * LANES * columns / 2; }

#ifdef __AVX512BF16__
// to (pairs of columns, `width`), eight of them = the first `there` of eight rows of x, zeros for the others
void eight_to_lanes(const float* x, size_t x_stride, int there, int columns, float* to, int width) {
    static thread_local std::vector<Bfloat16> rounded;
    rounded.resize(size_t(8) * columns);
    for (int m = 0; m < 8; ++m) {
        Bfloat16* row = &rounded[size_t(m) * columns];
        if (m < there)
            round_to_pairs(x + m * x_stride, columns, row);
        else
            std::memset(row, 0, columns * sizeof(Bfloat16));
    }
    for (int pair = 0; pair < columns / 2; pair += 8)
        transpose_eight((const float*)rounded.data() + pair, columns / 2, to + size_t(pair) * width, width);
}

// Groups of at most MOST_VECTORS vectors of tokens, (pairs of columns, tokens of the group) each, by the threads of the
// region; a barrier stands at its end. Tokens that are not there are zeros.
void make_lanes(const float* x, int num_tokens, int columns, float* lanes) {
    int vectors = lane_vectors(num_tokens), pairs = columns / 2;
#pragma omp for schedule(static)
    for (int eight = 0; eight < vectors * LANES; eight += 8)
        in_equal_groups<MOST_VECTORS>(vectors, [&](auto number, int first) {
            int begin = first * LANES, width = decltype(number)::value * LANES;
            if (begin <= eight && eight < begin + width)
                eight_to_lanes(x + size_t(eight) * columns, columns, std::min(8, num_tokens - eight), columns,
                               lanes + size_t(begin) * pairs + (eight - begin), width);
        });
}

// Pairs of some rows: pairs from one row to the next, and from one pair of columns to the next. `come_from_memory`: so
// will the rows after them, which are asked for meanwhile.
struct PairRows {
    const uint32_t* first;
    size_t apart, step;
    int num_pairs;
    bool come_from_memory;
};
constexpr int A_LINE = 16;  // pairs in a line of the cache

// sums (ROWS, `stride`) = or += rows · lanes (pairs, VECTORS · LANES)
template <int ROWS, int VECTORS>
inline void multiply_lanes(const PairRows& rows, const float* lanes, bool adds, float* sums, size_t stride) {
    const uint32_t* next = rows.first;
    __m512 totals[ROWS][VECTORS];
    for (int row = 0; row < ROWS; ++row)
        for (int v = 0; v < VECTORS; ++v)
            totals[row][v] = adds ? _mm512_loadu_ps(sums + row * stride + v * LANES) : _mm512_setzero_ps();
    for (int pair = 0; pair < rows.num_pairs; ++pair, next += rows.step, lanes += VECTORS * LANES) {
        if (rows.come_from_memory && pair % A_LINE == 0)
            for (int row = 0; row < ROWS; ++row) ask_for(next + (row + ROWS) * rows.apart);
        __m512bh tokens[VECTORS];
        for (int v = 0; v < VECTORS; ++v) tokens[v] = (__m512bh)_mm512_loadu_si512(lanes + v * LANES);
        for (int row = 0; row < ROWS; ++row) {
            __m512bh both = (__m512bh)_mm512_set1_epi32(int(next[row * rows.apart]));
            for (int v = 0; v < VECTORS; ++v) totals[row][v] = _mm512_dpbf16_ps(totals[row][v], tokens[v], both);
        }
    }
#pragma GCC unroll 24
    for (int row = 0; row < ROWS; ++row)
        for (int v = 0; v < VECTORS; ++v) _mm512_storeu_ps(sums + row * stride + v * LANES, totals[row][v]);
}

// y (N, rows of the matrix), from `row` on = sums (num_rows, `stride`) as columns
void put_lanes(const float* sums, size_t stride, int num_rows, int num_tokens, float* y, int y_stride) {
    int whole_rows = num_rows / 8 * 8, whole_tokens = num_tokens / 8 * 8;
    for (int token = 0; token < whole_tokens; token += 8)
        for (int row = 0; row < whole_rows; row += 8)
            transpose_eight(sums + row * stride + token, stride, y + size_t(token) * y_stride + row, y_stride);
    for (int token = 0; token < num_tokens; ++token)
        for (int row = token < whole_tokens ? whole_rows : 0; row < num_rows; ++row)
            y[size_t(token) * y_stride + row] = sums[row * stride + token];
}

void lanes_of_tokens(const Matrix& matrix, const float* lanes, int num_tokens, float* y) {
    static thread_local std::vector<float> room;
    int vectors = lane_vectors(num_tokens);
    size_t stride = size_t(vectors) * LANES + 8;  // rows of sums do not all fall on the same lines of the cache
    room.resize(LANE_ROWS * stride);
    float* sums = room.data();
    auto multiply_some = [&](const Bfloat16* rows, size_t apart, int, int num_rows, int column, int columns) {
        in_equal_groups<MOST_VECTORS>(vectors, [&](auto number, int first) {
            constexpr int VECTORS = decltype(number)::value, ROWS = LANE_SUMS / VECTORS;
            const float* own = lanes + size_t(first) * LANES * (matrix.columns / 2) + size_t(column / 2) * VECTORS * LANES;
            float* to = sums + first * LANES;
            PairRows some{(const uint32_t*)rows, apart / 2, 1, columns / 2, first == 0};
            int row = 0;
            for (; row + ROWS <= num_rows; row += ROWS, some.first += ROWS * some.apart)
                multiply_lanes<ROWS, VECTORS>(some, own, column > 0, to + row * stride, stride);
            for (; row < num_rows; ++row, some.first += some.apart)
                multiply_lanes<1, VECTORS>(some, own, column > 0, to + row * stride, stride);
        });
    };
    in_bands<LANE_ROWS>(matrix, multiply_some, [&](int band, int num_rows) {
        put_lanes(sums, stride, num_rows, num_tokens, y + band, matrix.rows);
    });
}
#endif

}  // namespace
