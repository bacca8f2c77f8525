// Matrix products of few or many tokens with weights of any kind, shared by the threads of a parallel region: which of
// the ways is taken, and what all products of the same tokens share.
//
// With few tokens the weights stream through once (cpu_streams.h), quantized ones as integers (cpu_integers.h); with
// many, tiles of weights are multiplied with tiles of tokens (cpu_tiles.h). Where the processor multiplies bfloat16 and
// the model computes in it, the tokens' numbers are rounded to it (cpu_pairs.h, cpu_lanes.h). Sums are float32 everywhere.
#pragma once

#include "cpu_integers.h"
#include "cpu_lanes.h"
#include "cpu_streams.h"
#include "cpu_tiles.h"

namespace {

// Tokens from which on tiles pay, for weights that must be widened and for those that need not; and of pairs, bands and
// lanes.
constexpr int LEAST_TILED = 13, LEAST_TILED_FLOAT32 = 40, LEAST_IN_BANDS = 7, LEAST_IN_LANES = 25;

inline bool is_tiled(const Matrix& matrix, int num_tokens) {
    if (takes_pairs(matrix)) return false;
    if (matrix.kind == FLOAT32) return num_tokens >= LEAST_TILED_FLOAT32;
    return num_tokens >= LEAST_TILED && !takes_integers(matrix, num_tokens);
}

inline bool is_in_lanes(const Matrix& matrix, int num_tokens) { return takes_pairs(matrix) && num_tokens >= LEAST_IN_LANES; }

struct Input {
    const float* x;      // (N, columns)
    int num_tokens, columns;
    const float* tiles;  // of many tokens, see make_tiles and make_lanes
    // Each thread's own, made when they are needed:
    Integers eight, four;
    std::vector<Bfloat16> rounded;  // (N, pair_stride(columns))
    bool has_eight, has_four, has_pairs;

    // Every thread calls it. Tiles are made if they pay for `first`, the first matrix of its products; they lie in
    // `room`, which the threads share, and a barrier stands at their end.
    void take(const float* from, int tokens, const Matrix& first, float* room) {
        x = from, num_tokens = tokens, columns = first.columns, tiles = nullptr;
        has_eight = has_four = has_pairs = false;
        if (is_tiled(first, num_tokens)) make_tiles(x, num_tokens, columns, room), tiles = room;
#ifdef __AVX512BF16__
        if (is_in_lanes(first, num_tokens)) make_lanes(x, num_tokens, columns, room), tiles = room;
#endif
    }

    // The floats that `room` must hold.
    static size_t room(int num_tokens, int columns) {
        if (num_tokens < std::min(LEAST_TILED, LEAST_IN_LANES)) return 0;
        return std::max(room_of_tiles(num_tokens, columns), room_of_lanes(num_tokens, columns));
    }

    const Integers& integers(int kind) {
        Integers& found = kind == INT8 ? eight : four;
        bool& is_there = kind == INT8 ? has_eight : has_four;
        if (!is_there) found.make(x, num_tokens, columns, kind == INT8 ? 2 : 4);
        is_there = true;
        return found;
    }

#ifdef __AVX512BF16__
    const Bfloat16* pairs() {
        size_t stride = pair_stride(columns);
        rounded.resize(num_tokens * stride);
        for (int m = 0; m < num_tokens && !has_pairs; ++m) round_to_pairs(x + size_t(m) * columns, columns, &rounded[m * stride]);
        has_pairs = true;
        return rounded.data();
    }
#endif
};

// y (N, rows) = x (N, columns) · weightsᵀ, shared by the threads, all of which call it; no barrier stands at its end.
void multiply(const Matrix& matrix, Input& input, float* y) {
    int num_tokens = input.num_tokens;
    if (num_tokens == 0) return;
    if (input.tiles && is_tiled(matrix, num_tokens)) return tiled_rows(matrix, input.tiles, num_tokens, y);
#ifdef __AVX2__
    if (takes_integers(matrix, num_tokens)) {
        const Integers& integers = input.integers(matrix.kind);
        if (matrix.kind == INT8) return integer_rows<2>(matrix, integers, num_tokens, y);
        return integer_rows<4>(matrix, integers, num_tokens, y);
    }
#endif
#ifdef __AVX512BF16__
    if (takes_pairs(matrix)) {
        if (input.tiles && is_in_lanes(matrix, num_tokens)) return lanes_of_tokens(matrix, input.tiles, num_tokens, y);
        if (matrix.kind == BFLOAT16 && num_tokens < LEAST_IN_BANDS) return stream_pairs(matrix, input.pairs(), num_tokens, y);
        return bands_of_pairs(matrix, input.pairs(), num_tokens, y);
    }
#endif
    if (matrix.kind == FLOAT32) return stream_rows<float>(matrix, input.x, num_tokens, y);
    if (matrix.kind == BFLOAT16) return stream_rows<Bfloat16>(matrix, input.x, num_tokens, y);
    if (matrix.kind == FLOAT16) return stream_rows<Float16>(matrix, input.x, num_tokens, y);
    widened_rows(matrix, input.x, num_tokens, y);
}

}  // namespace
