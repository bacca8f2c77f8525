// What queries of one head attend to: tokens that follow each other in a sequence, whose keys and values lie in pages.
#pragma once

#include "cpu_lanes.h"

namespace {

constexpr int MOST_QUERIES = 4;        // that are multiplied with a key at a time
constexpr int LEAST_LANE_QUERIES = 8;  // that pay as lanes of vectors
constexpr int MOST_BLOCK = MOST_VECTORS * LANES;  // queries that are worked on together

// Keys and values of a sequence for one key-value head.
template <typename Number>
struct Remembered {
    const Number *keys, *values;  // (pages, kv_heads, page_tokens, head_dim)
    const int32_t* pages;
    int kv_heads, kv_head, page_tokens, head_dim;

    const Number* page(const Number* from, int place) const {
        return from + (size_t(pages[place / page_tokens]) * kv_heads + kv_head) * page_tokens * head_dim;
    }
    int whole_pages(int num_keys) const { return (num_keys + page_tokens - 1) / page_tokens * page_tokens; }
};

// mixed = softmax(query · keys) · values for QUERIES tokens, `stride` numbers from one to the next; the first sees
// `num_keys` keys, each next one more.
template <int QUERIES, typename Number>
void attend(const Remembered<Number>& past, int num_keys, const float* query, size_t stride, float* mixed) {
    constexpr int KEYS = 8 / QUERIES;  // so that eight products are under way at a time
    static thread_local std::vector<float> room;
    int head_dim = past.head_dim, page_tokens = past.page_tokens, all_keys = num_keys + QUERIES - 1, rounded = past.whole_pages(all_keys);
    room.resize(std::max(room.size(), size_t(QUERIES) * rounded));
    float* scores = room.data();
    float factor = 1.0f / std::sqrt(float(head_dim));
    for (int start = 0; start < rounded; start += page_tokens)
        for (int place = 0; place < page_tokens; place += KEYS) {
            const Number* key = past.page(past.keys, start) + size_t(place) * head_dim;
            Vector products[8] = {};
            for (int k = 0; k < KEYS; ++k, key += head_dim)
                for (int i = 0; i < head_dim; i += LANES) {
                    Vector some = load(key + i);
                    for (int q = 0; q < QUERIES; ++q) products[q * KEYS + k] += some * load(query + q * stride + i);
                }
            float found[8];
            eight_sums(products, found);
            for (int q = 0; q < QUERIES; ++q)
                for (int k = 0; k < KEYS; ++k) scores[q * rounded + start + place + k] = found[q * KEYS + k] * factor;
        }
    float shares[QUERIES];
    for (int q = 0; q < QUERIES; ++q) {
        float *row = scores + q * rounded, highest = -INFINITY;
        for (int place = num_keys + q; place < rounded; ++place) row[place] = -INFINITY;
        for (int place = 0; place < num_keys + q; ++place) highest = std::max(highest, row[place]);
        Vector totals = {};
        for (int place = 0; place < rounded; place += LANES) {
            Vector some = exponential(load(row + place) - highest);
            some = load(row + place) == -INFINITY ? Vector{} : some;
            put(row + place, some);
            totals += some;
        }
        shares[q] = 1.0f / sum(totals);
    }
    in_equal_groups<KEYS>(head_dim / LANES, [&](auto width, int first) {  // so many vectors of numbers
        constexpr int WIDTH = decltype(width)::value;
        int i = first * LANES;
        Vector sums[QUERIES][WIDTH] = {};
        for (int start = 0; start < all_keys; start += page_tokens) {
            const Number* value = past.page(past.values, start) + i;
            for (int place = start; place < std::min(all_keys, start + page_tokens); ++place, value += head_dim)
                for (int v = 0; v < WIDTH; ++v) {
                    Vector some = load(value + v * LANES);
                    for (int q = 0; q < QUERIES; ++q) sums[q][v] += some * scores[q * rounded + place];
                }
        }
        for (int q = 0; q < QUERIES; ++q)
            for (int v = 0; v < WIDTH; ++v) {
                Vector some = sums[q][v] * shares[q];
                put(mixed + q * stride + i + v * LANES, some);
            }
    });
}

#ifdef __AVX512BF16__
// (keys, VECTORS · LANES) scores of queries -> shares as pairs of keys, in their place; returns 1 / their sums. Query q sees
// the keys below num_keys + q.
template <int VECTORS>
void share(float* scores, int num_keys, int rounded, float factor, Vector* inverse) {
    constexpr int WIDTH = VECTORS * LANES;
    for (int key = num_keys; key < rounded; ++key)
        std::fill_n(scores + size_t(key) * WIDTH, std::min(WIDTH, key - num_keys + 1), -INFINITY);
    for (int v = 0; v < VECTORS; ++v) {
        float* column = scores + v * LANES;
        Vector highest = load(column), totals = {};
        for (int key = 1; key < rounded; ++key) {
            Vector some = load(column + size_t(key) * WIDTH);
            highest = some > highest ? some : highest;
        }
        for (int key = 0; key < rounded; key += 2) {
            Unsigned both = {};
            for (int i = 0; i < 2; ++i) {
                Vector score = load(column + size_t(key + i) * WIDTH);
                Vector some = exponential((score - highest) * factor);
                some = score == -INFINITY ? Vector{} : some;
                totals += some;
                Unsigned half = (Unsigned)_mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)some));
                both |= half << (16 * i);
            }
            put(column + size_t(key / 2) * WIDTH, (Vector)both);
        }
        inverse[v] = 1.0f / totals;
    }
}

// The same as `attend` for up to VECTORS · LANES queries, which are the lanes; their numbers and shares are rounded to bfloat16.
template <int VECTORS>
void attend_in_lanes(const Remembered<Bfloat16>& past, int num_keys, int num_queries, const float* query, size_t stride, float* mixed) {
    constexpr int WIDTH = VECTORS * LANES, ROWS = 4;
    static thread_local std::vector<float> room;
    int head_dim = past.head_dim, page_tokens = past.page_tokens, rounded = past.whole_pages(num_keys + num_queries - 1);
    size_t scores_size = size_t(rounded) * WIDTH, values_size = size_t(rounded / 2) * head_dim;
    room.resize(std::max(room.size(), size_t(head_dim / 2) * WIDTH + scores_size + values_size + size_t(head_dim) * WIDTH));
    float *queries = room.data(), *scores = queries + size_t(head_dim / 2) * WIDTH, *values = scores + scores_size, *sums = values + values_size;
    for (int eight = 0; eight < WIDTH; eight += 8)
        eight_to_lanes(query + eight * stride, stride, std::clamp(num_queries - eight, 0, 8), head_dim, queries + eight, WIDTH);
    for (int start = 0; start < rounded; start += page_tokens) {
        PairRows keys{(const uint32_t*)past.page(past.keys, start), size_t(head_dim / 2), 1, head_dim / 2, false};
        for (int row = 0; row < page_tokens; row += ROWS, keys.first += ROWS * keys.apart)
            multiply_lanes<ROWS, VECTORS>(keys, queries, false, scores + size_t(start + row) * WIDTH, WIDTH);
        const Bfloat16* value = past.page(past.values, start);
        for (int row = 0; row < page_tokens; row += 2, value += 2 * head_dim)  // pairs of keys
            for (int i = 0; i < head_dim; i += LANES)
                put(values + size_t((start + row) / 2) * head_dim + i, (Vector)(widen(value + i) | widen(value + head_dim + i) << 16));
    }
    Vector inverse[VECTORS];
    share<VECTORS>(scores, num_keys, rounded, 1.0f / std::sqrt(float(head_dim)), inverse);
    for (int i = 0; i < head_dim; i += ROWS) {
        float* to = sums + size_t(i) * WIDTH;
        multiply_lanes<ROWS, VECTORS>({(const uint32_t*)values + i, 1, size_t(head_dim), rounded / 2, false}, scores, false, to, WIDTH);
        for (int row = 0; row < ROWS; ++row)
            for (int v = 0; v < VECTORS; ++v) {
                float* lanes = to + row * WIDTH + v * LANES;
                put(lanes, load(lanes) * inverse[v]);
            }
    }
    put_lanes(sums, WIDTH, head_dim, num_queries, mixed, stride);
}
#endif

// What a block of at most MOST_BLOCK queries attends to.
template <typename Number>
void attend_block(const Remembered<Number>& past, int num_keys, int num_queries, const float* query, size_t stride, float* mixed) {
#ifdef __AVX512BF16__
    if constexpr (std::is_same_v<Number, Bfloat16>)
        if (num_queries >= LEAST_LANE_QUERIES)
            return with_constant<MOST_VECTORS>(lane_vectors(num_queries), [&](auto vectors) {
                attend_in_lanes<decltype(vectors)::value>(past, num_keys, num_queries, query, stride, mixed);
            });
#endif
    int done = 0;
    for (; done + MOST_QUERIES <= num_queries; done += MOST_QUERIES)
        attend<MOST_QUERIES>(past, num_keys + done, query + done * stride, stride, mixed + done * stride);
    for (; done < num_queries; ++done) attend<1>(past, num_keys + done, query + done * stride, stride, mixed + done * stride);
}

}  // namespace
