// Products of few tokens with quantized weights, as integers.
//
// Each token's numbers become 16-bit integers with a scale for every 128 columns, which is exact to 2e-5 of the largest
// of these, far below what the weights' own rounding does.
#pragma once

#include "cpu_matrix.h"

namespace {

constexpr int MOST_STREAMED = 16;  // tokens up to which integers are multiplied
constexpr int AHEAD = 2048;        // bytes that are asked for before they are needed

// In the order in which the weights' bytes are taken apart: of every 16 pairs of bytes, the first parts, the second, ...
struct Integers {
    std::vector<int16_t> numbers;  // (N, columns)
    std::vector<float> scales;     // (N, columns / BLOCK)
    std::vector<int32_t> offsets;  // the same: what the weights' own offset adds to a block, negative

    void make(const float* x, int num_tokens, int columns, int parts) {
        int blocks = columns / BLOCK, chunk = 16 * parts;
        numbers.resize(size_t(num_tokens) * columns), scales.resize(size_t(num_tokens) * blocks), offsets.resize(scales.size());
        for (size_t block = 0; block < scales.size(); ++block) {
            const float* from = x + block * BLOCK;
            int16_t* to = &numbers[block * BLOCK];
            float largest = 0;
            for (int i = 0; i < BLOCK; ++i) largest = std::max(largest, std::fabs(from[i]));
            float factor = largest > 0 ? 32767.0f / largest : 0.0f;
            int32_t total = 0;
            for (int start = 0; start < BLOCK; start += chunk)
                for (int part = 0; part < parts; ++part)
                    for (int j = 0; j < 16; ++j) {
                        int32_t number = int32_t(std::lrintf(from[start + j * parts + part] * factor));
                        to[start + part * 16 + j] = int16_t(number);
                        total += number;
                    }
            scales[block] = largest / 32767.0f;
            offsets[block] = -(parts == 2 ? 128 : 8) * total;
        }
    }
};

#ifdef __AVX2__
inline __m256i add_products(__m256i total, __m256i left, __m256i right) {
#if defined(__AVX512VNNI__) && defined(__AVX512VL__)
    return _mm256_dpwssd_epi32(total, left, right);
#else
    return _mm256_add_epi32(total, _mm256_madd_epi16(left, right));
#endif
}

// ROWS rows that lie `apart` rows from each other, with TOKENS tokens from `first` on; PARTS numbers lie in two bytes:
// 2 of int8, 4 of int4.
template <int ROWS, int TOKENS, int PARTS>
inline void integer_block(const Matrix& matrix, int first_row, int apart, const Integers& inputs, int first, float* y) {
    constexpr int CHUNK = 16 * PARTS;
    constexpr int BITS = 16 / PARTS;
    int columns = matrix.columns, blocks = columns / BLOCK;
    size_t stride = size_t(apart) * columns * BITS / 8;
    const uint8_t* bytes = static_cast<const uint8_t*>(matrix.weights) + size_t(first_row) * columns * BITS / 8;
    const float* scales = matrix.scales + size_t(first_row) * matrix.groups;
    const __m256i low = _mm256_set1_epi16((1 << BITS) - 1);
    __m256 sums[ROWS][TOKENS] = {};
    for (int block = 0; block < blocks; ++block) {
        __m256i totals[ROWS][TOKENS];
        for (int m = 0; m < TOKENS; ++m)
            for (int row = 0; row < ROWS; ++row)
                totals[row][m] = _mm256_zextsi128_si256(_mm_cvtsi32_si128(inputs.offsets[(first + m) * blocks + block]));
        const int16_t* x = &inputs.numbers[size_t(first) * columns + block * BLOCK];
        for (int start = 0; start < BLOCK; start += CHUNK, bytes += 32, x += CHUNK) {
            __m256i pairs[ROWS];
            for (int row = 0; row < ROWS; ++row) {
                _mm_prefetch((const char*)bytes + row * stride + AHEAD, _MM_HINT_T1);
                pairs[row] = _mm256_loadu_si256((const __m256i*)(bytes + row * stride));
            }
            for (int part = 0; part < PARTS; ++part) {
                __m256i numbers[TOKENS];
                for (int m = 0; m < TOKENS; ++m)
                    numbers[m] = _mm256_loadu_si256((const __m256i*)(x + size_t(m) * columns + 16 * part));
                for (int row = 0; row < ROWS; ++row) {
                    __m256i weights = _mm256_srli_epi16(pairs[row], BITS * part);
                    if (part < PARTS - 1) weights = _mm256_and_si256(weights, low);
                    for (int m = 0; m < TOKENS; ++m) totals[row][m] = add_products(totals[row][m], weights, numbers[m]);
                }
            }
        }
        for (int row = 0; row < ROWS; ++row) {
            float scale = PARTS == 4 ? scales[size_t(row) * apart * matrix.groups + block] : 1.0f;
            for (int m = 0; m < TOKENS; ++m)
                sums[row][m] =
                    _mm256_fmadd_ps(_mm256_cvtepi32_ps(totals[row][m]),
                                    _mm256_set1_ps(inputs.scales[(first + m) * blocks + block] * scale), sums[row][m]);
        }
    }
    for (int row = 0; row < ROWS; ++row)
        for (int m = 0; m < TOKENS; ++m) {
            float total = sum_of_eight(sums[row][m]);
            y[size_t(first + m) * matrix.rows + first_row + row * apart] = PARTS == 2 ? total * scales[size_t(row) * apart] : total;
        }
}

template <int ROWS, int PARTS>
inline void integers_times_tokens(const Matrix& matrix, int row, int apart, const Integers& inputs, int num_tokens, float* y) {
    if (num_tokens == 1) return integer_block<ROWS, 1, PARTS>(matrix, row, apart, inputs, 0, y);
    for (int each = 0; each < ROWS; ++each)
        in_equal_groups<4>(num_tokens, [&](auto number, int first) {
            integer_block<1, decltype(number)::value, PARTS>(matrix, row + each * apart, 0, inputs, first, y);
        });
}

template <int PARTS>
void integer_rows(const Matrix& matrix, const Integers& inputs, int num_tokens, float* y) {
    in_four_streams(
        matrix, [&](int row, int apart) { integers_times_tokens<4, PARTS>(matrix, row, apart, inputs, num_tokens, y); },
        [&](int row) { integers_times_tokens<1, PARTS>(matrix, row, 0, inputs, num_tokens, y); });
}
#endif

inline bool takes_integers(const Matrix& matrix, int num_tokens) {
#ifdef __AVX2__
    bool fits = matrix.columns % BLOCK == 0 && (matrix.kind == INT8 || matrix.groups * BLOCK == matrix.columns);
    return matrix.kind >= INT8 && fits && num_tokens <= MOST_STREAMED;
#else
    return false;
#endif
}

}  // namespace
