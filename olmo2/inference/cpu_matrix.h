// Matrices of weights of five kinds, and who of a parallel region multiplies which of their rows.
//
//   float32, bfloat16, float16   as they are
//   int8                         a byte q + 128; a weight is q times the scale of its row
//   int4                         half a byte q + 8, the lower half first; a weight is q times the scale of its group of columns
#pragma once

#include <algorithm>
#include <omp.h>
#include <type_traits>
#include <vector>

#include "cpu_vectors.h"

namespace {

enum Kind : int32_t { FLOAT32 = 0, BFLOAT16 = 1, FLOAT16 = 2, INT8 = 3, INT4 = 4 };

struct Matrix {
    const void* weights;  // (rows, columns)
    const float* scales;  // (rows, groups) of the quantized kinds
    int32_t rows, columns, kind, groups;
    int32_t is_bfloat16;  // whether the model computes in it: what is multiplied may be rounded to it
    int32_t padding;
};

constexpr int BLOCK = 128;             // columns of a group of int4 that integers are multiplied with
constexpr int LONGEST_TURN = 1 << 17;  // weights of a stream that a thread takes at a time

// Call call(std::integral_constant<int, count>), 1 <= count <= MOST.
template <int MOST, typename Call>
inline void with_constant(int count, Call call) {
    if constexpr (MOST > 1)
        if (count < MOST) return with_constant<MOST - 1>(count, call);
    call(std::integral_constant<int, MOST>{});
}

// Call some(number, first) for as few and as equal groups of at most MOST as `count` can be parted in.
template <int MOST, typename Some>
inline void in_equal_groups(int count, Some some) {
    int groups = (count + MOST - 1) / MOST;
    for (int first = 0; groups > 0; --groups) {
        int number = (count - first + groups - 1) / groups;
        with_constant<MOST>(number, [&](auto constant) { some(constant, first); });
        first += number;
    }
}

// Call four_rows(row, apart) for the rows row, row + apart, row + 2 apart and row + 3 apart, and one_row(row) for the few
// that are left, until each row had its turn; the threads of the region take some when they have done their last ones.
//
// Four rows come from four quarters of the matrix: processors read ahead along a few streams of addresses, each up to
// the end of its page, so that four streams give up to half as much again as one does.
template <typename FourRows, typename OneRow>
void in_four_streams(const Matrix& matrix, FourRows four_rows, OneRow one_row) {
    int quarter = matrix.rows / 4, threads = omp_get_num_threads();
    int turn = std::clamp(quarter / (4 * threads), 1, std::max(1, LONGEST_TURN / matrix.columns));
#pragma omp for schedule(dynamic, turn) nowait
    for (int row = 0; row < quarter; ++row) four_rows(row, quarter);
    if (omp_get_thread_num() == threads - 1)
        for (int row = 4 * quarter; row < matrix.rows; ++row) one_row(row);
}

// --- weights of any kind as float32 ----------------------------------------------------------------------------------

template <typename Number>
inline void widen_numbers(const Number* from, int count, float* to) {
    int i = 0;
    for (; i + LANES <= count; i += LANES) put(to + i, load(from + i));
    for (; i < count; ++i) to[i] = to_float(from[i]);
}

inline void widen_bytes(const uint8_t* from, int count, float scale, float offset, float* to) {
    int i = 0;
#ifdef __AVX2__
    __m256 factor = _mm256_set1_ps(scale), zero = _mm256_set1_ps(-offset * scale);
    for (; i + 8 <= count; i += 8) {
        __m256i words = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)(from + i)));
        _mm256_storeu_ps(to + i, _mm256_fmadd_ps(_mm256_cvtepi32_ps(words), factor, zero));
    }
#endif
    for (; i < count; ++i) to[i] = (float(from[i]) - offset) * scale;
}

inline void widen_halves_of_bytes(const uint8_t* from, int count, float scale, float* to) {
    uint8_t apart[BLOCK];
    for (int i = 0; i < count; i += BLOCK) {
        int some = std::min(BLOCK, count - i);
        for (int j = 0; j < some / 2; ++j) apart[2 * j] = from[i / 2 + j] & 15, apart[2 * j + 1] = from[i / 2 + j] >> 4;
        widen_bytes(apart, some, scale, 8, to + i);
    }
}

// Columns [begin, begin + count) of a row; for quantized kinds both are multiples of 2, and of int4 within groups' ends.
inline void widen_row(const Matrix& matrix, int row, int begin, int count, float* to) {
    size_t at = size_t(row) * matrix.columns + begin;
    if (matrix.kind == FLOAT32) {
        std::memcpy(to, static_cast<const float*>(matrix.weights) + at, count * sizeof(float));
    } else if (matrix.kind == BFLOAT16) {
        widen_numbers(static_cast<const Bfloat16*>(matrix.weights) + at, count, to);
    } else if (matrix.kind == FLOAT16) {
        widen_numbers(static_cast<const Float16*>(matrix.weights) + at, count, to);
    } else if (matrix.kind == INT8) {
        widen_bytes(static_cast<const uint8_t*>(matrix.weights) + at, count, matrix.scales[row], 128, to);
    } else {
        const uint8_t* from = static_cast<const uint8_t*>(matrix.weights) + at / 2;
        int width = matrix.columns / matrix.groups;
        for (int done = 0; done < count;) {
            int group = (begin + done) / width, some = std::min(count - done, (group + 1) * width - begin - done);
            widen_halves_of_bytes(from + done / 2, some, matrix.scales[size_t(row) * matrix.groups + group], to + done);
            done += some;
        }
    }
}

}  // namespace
