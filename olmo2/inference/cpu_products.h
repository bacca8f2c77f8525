// Matrix products of few or many tokens with weights of four kinds, shared by the threads of a parallel region.
//
//   float32, bfloat16   as they are
//   int8                a byte q + 128; a weight is q times the scale of its row
//   int4                half a byte q + 8, the lower half first; a weight is q times the scale of its group of columns
//
// With few tokens the weights stream through once, as fast as memory gives them. Quantized ones are multiplied as
// integers: each token's numbers become 16-bit integers with a scale for every 128 columns, which is exact to 2e-5 of
// the largest of these, far below what the weights' own rounding does. With many tokens, tiles of weights are widened
// to float32 in the cache and multiplied with tiles of tokens.
#pragma once

#include <algorithm>
#include <omp.h>
#include <type_traits>
#include <vector>

#include "cpu_vectors.h"

namespace {

enum Kind : int32_t { FLOAT32 = 0, BFLOAT16 = 1, INT8 = 2, INT4 = 3 };

struct Matrix {
    const void* weights;  // (rows, columns)
    const float* scales;  // (rows, groups) of the quantized kinds
    int32_t rows, columns, kind, groups;
};

constexpr int BLOCK = 128;                // columns that share a scale of the tokens' integers, and a group of int4
constexpr int MOST_STREAMED = 16;         // tokens up to which integers are multiplied
constexpr int LEAST_TILED = 13;           // tokens from which on tiles pay for weights that must be widened,
constexpr int LEAST_TILED_FLOAT32 = 40;   // and for those that need not
constexpr int TILE_ROWS = 2 * LANES;
constexpr int TILE_TOKENS = LANES == 16 ? 12 : 6;  // tile + inputs fill the registers
constexpr int DEPTH = 4096;               // columns of a tile at most: its weights stay in a near cache
constexpr int AHEAD = 2048;               // bytes that are asked for before they are needed
constexpr int LONGEST_TURN = 1 << 17;     // weights of a stream that a thread takes at a time

// --- who multiplies which rows ---------------------------------------------------------------------------------------

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
        const Bfloat16* from = static_cast<const Bfloat16*>(matrix.weights) + at;
        int i = 0;
        for (; i + LANES <= count; i += LANES) put(to + i, load(from + i));
        for (; i < count; ++i) to[i] = to_float(from[i]);
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

// --- tokens as 16-bit integers ---------------------------------------------------------------------------------------

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
                _mm_prefetch((const char*)bytes + row * stride + AHEAD, _MM_HINT_T0);
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
    for (int each = 0; each < ROWS; ++each) {
        int here = row + each * apart, first = 0;
        for (; first + 4 <= num_tokens; first += 4) integer_block<1, 4, PARTS>(matrix, here, 0, inputs, first, y);
        if (num_tokens - first == 1) integer_block<1, 1, PARTS>(matrix, here, 0, inputs, first, y);
        if (num_tokens - first == 2) integer_block<1, 2, PARTS>(matrix, here, 0, inputs, first, y);
        if (num_tokens - first == 3) integer_block<1, 3, PARTS>(matrix, here, 0, inputs, first, y);
    }
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

inline int least_tiled(const Matrix& matrix) {
    if (matrix.kind == FLOAT32) return LEAST_TILED_FLOAT32;
    return takes_integers(matrix, MOST_STREAMED) ? MOST_STREAMED + 1 : LEAST_TILED;
}

// --- what all products of the same tokens share ----------------------------------------------------------------------

struct Input {
    const float* x;        // (N, columns)
    int num_tokens, columns;
    const float* tiles;    // (token tiles, columns, TILE_TOKENS), of many tokens
    Integers eight, four;  // each thread's own, made when they are needed
    bool has_eight, has_four;

    // Every thread calls it. Tiles are made if they pay for `first`, the first matrix of its products; they lie in
    // `room`, which the threads share, and a barrier stands at their end.
    void take(const float* from, int tokens, const Matrix& first, std::vector<float>& room) {
        x = from, num_tokens = tokens, columns = first.columns, has_eight = has_four = false, tiles = nullptr;
        if (num_tokens < least_tiled(first)) return;
        int num_tiles = (num_tokens + TILE_TOKENS - 1) / TILE_TOKENS;
#pragma omp for schedule(static)
        for (int tile = 0; tile < num_tiles; ++tile)
            for (int lane = 0; lane < TILE_TOKENS; ++lane) {
                int token = tile * TILE_TOKENS + lane;
                float* to = &room[size_t(tile) * columns * TILE_TOKENS + lane];
                for (int i = 0; i < columns; ++i)
                    to[size_t(i) * TILE_TOKENS] = token < num_tokens ? x[size_t(token) * columns + i] : 0.0f;
            }
        tiles = room.data();
    }

    static size_t room(int num_tokens, int columns) { return size_t(num_tokens + TILE_TOKENS) * columns; }

    const Integers& integers(int kind) {
        Integers& found = kind == INT8 ? eight : four;
        bool& is_there = kind == INT8 ? has_eight : has_four;
        if (!is_there) found.make(x, num_tokens, columns, kind == INT8 ? 2 : 4);
        is_there = true;
        return found;
    }
};

// --- few tokens, float32 ---------------------------------------------------------------------------------------------

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
    if (num_tokens == 1) return block<ROWS, 1, true>(w, apart, columns, x, y, y_stride);
    if (num_tokens == 2) return block<ROWS, 2, true>(w, apart, columns, x, y, y_stride);
    auto at = [&](int m) { return x + size_t(m) * columns; };
    auto to = [&](int m) { return y + size_t(m) * y_stride; };
    if (num_tokens == 4) {
        block<ROWS, 2, true>(w, apart, columns, x, y, y_stride);
        return block<ROWS, 2, false>(w, apart, columns, at(2), to(2), y_stride);
    }
    block<ROWS, 3, true>(w, apart, columns, x, y, y_stride);  // as many accumulators as there are registers for
    int m = 3;
    for (; m + 3 <= num_tokens; m += 3) block<ROWS, 3, false>(w, apart, columns, at(m), to(m), y_stride);
    if (num_tokens - m == 2) block<ROWS, 2, false>(w, apart, columns, at(m), to(m), y_stride);
    if (num_tokens - m == 1) block<ROWS, 1, false>(w, apart, columns, at(m), to(m), y_stride);
}

template <typename Weight>
void stream_rows(const Matrix& matrix, const Input& input, float* y) {
    const Weight* weights = static_cast<const Weight*>(matrix.weights);
    int columns = matrix.columns, num_tokens = input.num_tokens;
    auto times_tokens = [&](auto rows, int row, int apart) {  // the rows stay in the cache for all tokens
        const Weight* w = weights + size_t(row) * columns;
        rows_times_tokens<decltype(rows)::value>(w, apart, columns, input.x, num_tokens, y + row, matrix.rows);
    };
    in_four_streams(
        matrix, [&](int row, int apart) { times_tokens(std::integral_constant<int, 4>{}, row, apart); },
        [&](int row) { times_tokens(std::integral_constant<int, 1>{}, row, 0); });
}

// Weights that are not float32 are widened once for several tokens.
void widened_rows(const Matrix& matrix, const Input& input, float* y, std::vector<float>& buffer) {
    int columns = matrix.columns;
    buffer.resize(columns);
    auto one_row = [&](int row) {
        widen_row(matrix, row, 0, columns, buffer.data());
        rows_times_tokens<1>(buffer.data(), 0, columns, input.x, input.num_tokens, y + row, matrix.rows);
    };
    auto four_rows = [&](int row, int apart) {
        for (int i = 0; i < 4; ++i) one_row(row + i * apart);
    };
    in_four_streams(matrix, four_rows, one_row);
}

// --- many tokens -----------------------------------------------------------------------------------------------------

// to (depth, TILE_ROWS) = rows of `from` (TILE_ROWS, depth) as columns
inline void transpose(const float* from, int depth, float* to) {
    int k = 0;
#ifdef __AVX2__
    for (; k + 8 <= depth; k += 8)
        for (int rows = 0; rows < TILE_ROWS; rows += 8) {
            __m256 r[8], t[8];
            for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(from + size_t(rows + i) * depth + k);
            for (int i = 0; i < 4; ++i) {
                t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
                t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
            }
            for (int i = 0; i < 2; ++i)
                for (int j = 0; j < 2; ++j) {
                    r[4 * i + 2 * j] = _mm256_shuffle_ps(t[4 * i + j], t[4 * i + j + 2], 0x44);
                    r[4 * i + 2 * j + 1] = _mm256_shuffle_ps(t[4 * i + j], t[4 * i + j + 2], 0xEE);
                }
            for (int i = 0; i < 4; ++i) {
                _mm256_storeu_ps(to + size_t(k + i) * TILE_ROWS + rows, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
                _mm256_storeu_ps(to + size_t(k + i + 4) * TILE_ROWS + rows, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
            }
        }
#endif
    for (; k < depth; ++k)
        for (int row = 0; row < TILE_ROWS; ++row) to[size_t(k) * TILE_ROWS + row] = from[size_t(row) * depth + k];
}

// One tile of y (tokens, rows) = or += x (depth, TILE_TOKENS) as columns · w (depth, TILE_ROWS).
inline void multiply_tile(const float* x, const float* w, int depth, bool is_first, int tokens, int rows, float* y, int stride) {
    Vector sums[TILE_TOKENS][2] = {};
    for (int k = 0; k < depth; ++k, x += TILE_TOKENS, w += TILE_ROWS) {
        Vector left = load(w), right = load(w + LANES);
        for (int m = 0; m < TILE_TOKENS; ++m) {
            Vector input = x[m] - Vector{};  // which compilers know to be x[m] in every lane
            sums[m][0] += left * input;
            sums[m][1] += right * input;
        }
    }
    for (int m = 0; m < TILE_TOKENS; ++m, y += stride) {
        if (m >= tokens) break;
        if (rows == TILE_ROWS) {
            if (!is_first) sums[m][0] += load(y), sums[m][1] += load(y + LANES);
            put(y, sums[m][0]), put(y + LANES, sums[m][1]);
        } else {
            float found[TILE_ROWS];
            put(found, sums[m][0]), put(found + LANES, sums[m][1]);
            for (int row = 0; row < rows; ++row) y[row] = is_first ? found[row] : y[row] + found[row];
        }
    }
}

void tiled_rows(const Matrix& matrix, const Input& input, float* y, std::vector<float>& buffer) {
    buffer.resize(2 * size_t(TILE_ROWS) * DEPTH);
    float *straight = buffer.data(), *turned = straight + size_t(TILE_ROWS) * DEPTH;
#pragma omp for schedule(dynamic, 1) nowait
    for (int row = 0; row < matrix.rows; row += TILE_ROWS) {
        int rows = std::min(TILE_ROWS, matrix.rows - row);
        for (int column = 0; column < matrix.columns; column += DEPTH) {
            int depth = std::min(DEPTH, matrix.columns - column);
            for (int i = 0; i < TILE_ROWS; ++i)
                widen_row(matrix, std::min(row + i, matrix.rows - 1), column, depth, straight + size_t(i) * depth);
            transpose(straight, depth, turned);
            for (int token = 0; token < input.num_tokens; token += TILE_TOKENS) {
                const float* x = input.tiles + size_t(token) * matrix.columns + size_t(column) * TILE_TOKENS;
                multiply_tile(x, turned, depth, column == 0, std::min(TILE_TOKENS, input.num_tokens - token), rows,
                              y + size_t(token) * matrix.rows + row, matrix.rows);
            }
        }
    }
}

// y (N, rows) = x (N, columns) · weightsᵀ, shared by the threads, all of which call it; no barrier stands at its end.
void multiply(const Matrix& matrix, Input& input, float* y) {
    static thread_local std::vector<float> buffer;
    if (input.num_tokens == 0) return;
    if (input.tiles && input.num_tokens >= least_tiled(matrix)) return tiled_rows(matrix, input, y, buffer);
#ifdef __AVX2__
    if (takes_integers(matrix, input.num_tokens)) {
        const Integers& integers = input.integers(matrix.kind);
        if (matrix.kind == INT8) return integer_rows<2>(matrix, integers, input.num_tokens, y);
        return integer_rows<4>(matrix, integers, input.num_tokens, y);
    }
#endif
    if (matrix.kind == FLOAT32) return stream_rows<float>(matrix, input, y);
    if (matrix.kind == BFLOAT16) return stream_rows<Bfloat16>(matrix, input, y);
    widened_rows(matrix, input, y, buffer);
}

}  // namespace
