// Products of bfloat16, pairs of columns at a time, where the processor multiplies them and adds to a float32 at once.
//
// The tokens' numbers are rounded to bfloat16, as a model does that computes in it.
#pragma once

#include "cpu_matrix.h"

namespace {

inline bool takes_pairs(const Matrix& matrix) {
#ifdef __AVX512BF16__
    return matrix.is_bfloat16 && matrix.columns % (2 * LANES) == 0;
#else
    return false;
#endif
}

#ifdef __AVX512BF16__
constexpr int PAIR_TOKENS = 6;      // tokens whose sums with four rows there are registers for
constexpr int BAND = 32;            // rows of which
constexpr int BAND_COLUMNS = 2048;  // so many columns stay in a near cache for all tokens

// Rows of tokens lie so many numbers apart that they do not all fall on the same lines of the cache.
inline size_t pair_stride(int columns) { return (size_t(columns) + 1023) / 2048 * 2048 + 1024; }

void round_to_pairs(const float* from, int count, Bfloat16* to) {  // count: a multiple of 2 LANES
    for (int i = 0; i < count; i += 2 * LANES)
        _mm512_storeu_si512(to + i, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + i + LANES), _mm512_loadu_ps(from + i)));
}

inline __m128 four_sums(__m512 a, __m512 b, __m512 c, __m512 d) {
    __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
    __m512 all = _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
    __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(all), 1)));
    return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

// Four rows of weights: numbers from one to the next, and to those that are asked for while these are multiplied.
struct FourRows {
    const Bfloat16* first;
    size_t apart, ahead;
    int columns;
};

// found[m][row] = row · x[m] for TOKENS tokens. ASKS: the rows come from memory, and so will those ahead.
template <int TOKENS, bool ASKS>
inline void multiply_four_rows(const FourRows& rows, const Bfloat16* x, size_t stride, __m128* found) {
    __m512 sums[TOKENS][4];
    for (int m = 0; m < TOKENS; ++m)
        for (int row = 0; row < 4; ++row) sums[m][row] = _mm512_setzero_ps();
    for (int column = 0; column < rows.columns; column += 2 * LANES) {
        Vector inputs[TOKENS];
        for (int m = 0; m < TOKENS; ++m) {
            inputs[m] = load((const float*)(x + m * stride + column));
            keep_in_register(inputs[m]);
        }
        for (int row = 0; row < 4; ++row) {
            const Bfloat16* w = rows.first + row * rows.apart + column;
            if (ASKS) ask_for(w + rows.ahead);
            __m512bh weights = (__m512bh)_mm512_loadu_si512(w);
            for (int m = 0; m < TOKENS; ++m) sums[m][row] = _mm512_dpbf16_ps(sums[m][row], weights, (__m512bh)inputs[m]);
        }
    }
#pragma GCC unroll 6
    for (int m = 0; m < TOKENS; ++m) found[m] = four_sums(sums[m][0], sums[m][1], sums[m][2], sums[m][3]);
}

template <int TOKENS>
inline void multiply_four_rows(const FourRows& rows, bool asks, const Bfloat16* x, size_t stride, __m128* found) {
    if (asks) return multiply_four_rows<TOKENS, true>(rows, x, stride, found);
    multiply_four_rows<TOKENS, false>(rows, x, stride, found);
}

// Few tokens: the rows of a bfloat16 matrix stream through once.
void stream_pairs(const Matrix& matrix, const Bfloat16* x, int num_tokens, float* y) {
    const Bfloat16* weights = static_cast<const Bfloat16*>(matrix.weights);
    size_t columns = matrix.columns, stride = pair_stride(columns);
    auto some_rows = [&](int row, int apart, int num_rows) {
        FourRows rows{weights + row * columns, apart * columns, columns, matrix.columns};
        in_equal_groups<PAIR_TOKENS>(num_tokens, [&](auto number, int first) {
            constexpr int TOKENS = decltype(number)::value;
            __m128 found[TOKENS];
            multiply_four_rows<TOKENS>(rows, first == 0, x + first * stride, stride, found);
            for (int m = 0; m < TOKENS; ++m)
                for (int i = 0; i < num_rows; ++i) y[size_t(first + m) * matrix.rows + row + i * apart] = found[m][i];
        });
    };
    in_four_streams(matrix, [&](int row, int apart) { some_rows(row, apart, 4); }, [&](int row) { some_rows(row, 0, 1); });
}

// y (N, num_rows) = or += the products of a band in some columns.
void multiply_band(const FourRows& first_rows, int num_rows, const Bfloat16* x, size_t stride, int num_tokens, bool adds, float* y,
                   int y_stride) {
    in_equal_groups<PAIR_TOKENS>(num_tokens, [&](auto number, int first) {
        constexpr int TOKENS = decltype(number)::value;
        FourRows rows = first_rows;
        __m128 found[TOKENS];
        for (int row = 0; row + 4 <= num_rows; row += 4, rows.first += 4 * rows.apart) {
            multiply_four_rows<TOKENS>(rows, first == 0, x + first * stride, stride, found);
            float* to = y + size_t(first) * y_stride + row;
            for (int m = 0; m < TOKENS; ++m, to += y_stride)
                _mm_storeu_ps(to, adds ? _mm_add_ps(found[m], _mm_loadu_ps(to)) : found[m]);
        }
        for (int row = num_rows / 4 * 4; row < num_rows; ++row, rows.first += rows.apart) {
            multiply_four_rows<TOKENS>({rows.first, 0, 0, rows.columns}, false, x + first * stride, stride, found);
            float* to = y + size_t(first) * y_stride + row;
            for (int m = 0; m < TOKENS; ++m, to += y_stride) *to = found[m][0] + (adds ? *to : 0.0f);
        }
    });
}

// Some rows of a matrix in some columns as bfloat16, and the numbers from one row to the next: where they lie, or in `to`.
const Bfloat16* as_pairs(const Matrix& matrix, int row, int num_rows, int column, int columns, float* room, Bfloat16* to, size_t* apart) {
    *apart = matrix.kind == BFLOAT16 ? matrix.columns : columns;
    if (matrix.kind == BFLOAT16) return static_cast<const Bfloat16*>(matrix.weights) + size_t(row) * matrix.columns + column;
    for (int i = 0; i < num_rows; ++i) {
        widen_row(matrix, row + i, column, columns, room);
        round_to_pairs(room, columns, to + i * *apart);
    }
    return to;
}

// Bands of ROWS rows of a matrix of any kind, shared by the threads: multiply_some(rows, apart, band, num_rows, column, columns) for
// BAND_COLUMNS of its columns after the other, then end(band, num_rows).
template <int ROWS, typename MultiplySome, typename End>
void in_bands(const Matrix& matrix, MultiplySome multiply_some, End end) {
    static thread_local std::vector<Bfloat16> rounded;
    static thread_local std::vector<float> widened;
    rounded.resize(ROWS * BAND_COLUMNS), widened.resize(BAND_COLUMNS);
#pragma omp for schedule(dynamic, 1) nowait
    for (int band = 0; band < matrix.rows; band += ROWS) {
        int num_rows = std::min(ROWS, matrix.rows - band);
        for (int column = 0; column < matrix.columns; column += BAND_COLUMNS) {
            int columns = std::min(BAND_COLUMNS, matrix.columns - column);
            size_t apart;
            const Bfloat16* rows = as_pairs(matrix, band, num_rows, column, columns, widened.data(), rounded.data(), &apart);
            multiply_some(rows, apart, band, num_rows, column, columns);
        }
        end(band, num_rows);
    }
}

// More tokens: bands of rows stay in the cache while all tokens are multiplied with them.
void bands_of_pairs(const Matrix& matrix, const Bfloat16* x, int num_tokens, float* y) {
    auto multiply_some = [&](const Bfloat16* rows, size_t apart, int band, int num_rows, int column, int columns) {
        multiply_band({rows, apart, 4 * apart, columns}, num_rows, x + column, pair_stride(matrix.columns), num_tokens, column > 0,
                      y + band, matrix.rows);
    };
    in_bands<BAND>(matrix, multiply_some, [](int, int) {});
}
#endif

}  // namespace
