// Products of many tokens: tiles of weights, widened to float32 and turned to columns in the cache, times tiles of tokens.
#pragma once

#include "cpu_matrix.h"

namespace {

constexpr int TILE_ROWS = 2 * LANES;
constexpr int TILE_TOKENS = LANES == 16 ? 12 : 6;  // tile + inputs fill the registers
constexpr int DEPTH = 4096;                        // columns of a tile at most: its weights stay in a near cache

inline size_t room_of_tiles(int num_tokens, int columns) { return size_t(num_tokens + TILE_TOKENS) * columns; }

// Tiles of tokens, (tiles, columns, TILE_TOKENS), by the threads of the region; a barrier stands at its end.
void make_tiles(const float* x, int num_tokens, int columns, float* tiles) {
    int num_tiles = (num_tokens + TILE_TOKENS - 1) / TILE_TOKENS;
#pragma omp for schedule(static)
    for (int tile = 0; tile < num_tiles; ++tile) {
        const float* rows[TILE_TOKENS];
        for (int lane = 0; lane < TILE_TOKENS; ++lane)
            rows[lane] = x + size_t(std::min(tile * TILE_TOKENS + lane, num_tokens - 1)) * columns;
        float* to = tiles + size_t(tile) * columns * TILE_TOKENS;
        for (int i = 0; i < columns; ++i)
            for (int lane = 0; lane < TILE_TOKENS; ++lane) *to++ = rows[lane][i];
    }
}

// to (depth, TILE_ROWS) = rows of `from` (TILE_ROWS, depth) as columns
inline void transpose(const float* from, int depth, float* to) {
    int k = 0;
#ifdef __AVX2__
    for (; k + 8 <= depth; k += 8)
        for (int row = 0; row < TILE_ROWS; row += 8)
            transpose_eight(from + size_t(row) * depth + k, depth, to + size_t(k) * TILE_ROWS + row, TILE_ROWS);
#endif
    for (; k < depth; ++k)
        for (int row = 0; row < TILE_ROWS; ++row) to[size_t(k) * TILE_ROWS + row] = from[size_t(row) * depth + k];
}

// One tile of y (TOKENS, rows) = or += x (depth, TILE_TOKENS) as columns · w (depth, TILE_ROWS).
template <int TOKENS>
inline void multiply_tile(const float* x, const float* w, int depth, bool is_first, int rows, float* y, int stride) {
    Vector sums[TOKENS][2] = {};
    for (int k = 0; k < depth; ++k, x += TILE_TOKENS, w += TILE_ROWS) {
        Vector left = load(w), right = load(w + LANES);
        for (int m = 0; m < TOKENS; ++m) {
            Vector input = x[m] - Vector{};  // which compilers know to be x[m] in every lane
            sums[m][0] += left * input;
            sums[m][1] += right * input;
        }
    }
    for (int m = 0; m < TOKENS; ++m, y += stride) {
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

void tiled_rows(const Matrix& matrix, const float* tiles, int num_tokens, float* y) {
    static thread_local std::vector<float> buffer;
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
            for (int token = 0; token < num_tokens; token += TILE_TOKENS)
                with_constant<TILE_TOKENS>(std::min(TILE_TOKENS, num_tokens - token), [&](auto number) {
                    multiply_tile<decltype(number)::value>(
                        tiles + size_t(token) * matrix.columns + size_t(column) * TILE_TOKENS, turned, depth, column == 0,
                        rows, y + size_t(token) * matrix.rows + row, matrix.rows);
                });
        }
    }
}

}  // namespace
