// The forward of an OLMo 2 for few tokens on a CPU, as one parallel region: what reads weights as fast as memory gives
// them, without a library call for every operation. Activations are float32; weights and the cache are float32 or
// bfloat16. cpu_forward.py compiles and calls it; the reference is the model itself.
//
// Shapes   N tokens of any sequences · C hidden · I inner · H query heads · K key-value heads · D head width

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <omp.h>
#include <type_traits>
#include <vector>
#ifdef __AVX2__
#include <immintrin.h>
#endif

namespace {

#ifdef __AVX512F__
constexpr int LANES = 16;
#else
constexpr int LANES = 8;
#endif
typedef float Vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t Words __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
typedef uint32_t Unsigned __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

enum Kind : int32_t { FLOAT32 = 0, BFLOAT16 = 1 };

struct Bfloat16 {
    uint16_t bits;
};

inline Vector load(const float* from) { return *reinterpret_cast<const Vector*>(from); }
#if defined(__AVX512F__)  // compilers make many instructions of what processors have one for
inline Unsigned widen(const Bfloat16* from) { return (Unsigned)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)from)); }
#elif defined(__AVX2__)
inline Unsigned widen(const Bfloat16* from) { return (Unsigned)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)from)); }
#else
inline Unsigned widen(const Bfloat16* from) { return __builtin_convertvector(*reinterpret_cast<const Halves*>(from), Unsigned); }
#endif
inline Vector load(const Bfloat16* from) { return (Vector)(widen(from) << 16); }

inline void put(float* to, Vector values) { *reinterpret_cast<Vector*>(to) = values; }

// Compilers would rather load an input again for every row, and loading is what limits them.
inline void keep_in_register(Vector& values) {
#if defined(__AVX2__)
    asm("" : "+x"(values));
#else
    (void)values;
#endif
}

inline float to_float(float value) { return value; }
inline float to_float(Bfloat16 value) {
    uint32_t bits = uint32_t(value.bits) << 16;
    float result;
    std::memcpy(&result, &bits, 4);
    return result;
}

inline void store(float* to, float value) { *to = value; }
inline void store(Bfloat16* to, float value) {  // to the nearest, ties to even
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    to->bits = std::isnan(value) ? 0x7FC0 : uint16_t((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

inline float sum(Vector values) {
    float total = 0;
    for (int lane = 0; lane < LANES; ++lane) total += values[lane];
    return total;
}

// e^x to 2e-7, relative: x = n ln 2 + r with a polynomial in r.
inline Vector exponential(Vector x) {
    x = x < -87.0f ? Vector{} - 87.0f : x;
    x = x > 88.0f ? Vector{} + 88.0f : x;
    Words whole = __builtin_convertvector(x * 1.44269504f + (x < 0.0f ? Vector{} - 0.5f : Vector{} + 0.5f), Words);
    Vector n = __builtin_convertvector(whole, Vector);
    Vector r = x - n * 0.693359375f + n * 2.12194440e-4f;
    Vector p = 1.9875691500e-4f + Vector{};
    for (float coefficient : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
        p = p * r + coefficient;
    return (p * r * r + r + 1.0f) * (Vector)((whole + 127) << 23);
}

struct Matrix {
    const void* weights;  // (rows, columns)
    int32_t rows, columns, kind, padding;
};

struct Layer {
    Matrix query, key, value, output, gate, up, down;
    const float *query_norm, *key_norm, *attention_norm, *mlp_norm;
    void *keys, *values;  // (pages, K, page_tokens, D)
};

struct Model {
    const Layer* layers;
    Matrix embedding, head;
    const float* norm;
    int32_t num_layers, hidden, inner, heads, kv_heads, head_dim, page_tokens, cache_kind;
    float eps;
};

struct Tokens {
    const int32_t* ids;        // (N)
    const int32_t* places;     // (N) in their sequences
    const int32_t* pages;      // (N, longest) of their sequences
    const float *cos, *sin;    // (N, D); sines of the first half negative
    const int32_t* wanted;     // (num_wanted) tokens whose logits are wanted
    float* logits;             // (num_wanted, rows of head)
    int32_t num_tokens, longest, num_wanted, padding;
};

// y[m][row] = w[row] · x[m] for ROWS rows and TOKENS tokens, as accumulators in registers.
template <int ROWS, int TOKENS, typename Weight>
inline void block(const Weight* w, int columns, const float* x, int x_stride, float* y, int y_stride) {
    Vector sums[ROWS][TOKENS] = {};
    int column = 0;
    for (; column + LANES <= columns; column += LANES) {
        Vector inputs[TOKENS];
        for (int m = 0; m < TOKENS; ++m) {
            inputs[m] = load(x + size_t(m) * x_stride + column);
            keep_in_register(inputs[m]);
        }
        for (int row = 0; row < ROWS; ++row) {
            Vector weight = load(w + size_t(row) * columns + column);
            for (int m = 0; m < TOKENS; ++m) sums[row][m] += weight * inputs[m];
        }
    }
    for (int row = 0; row < ROWS; ++row)
        for (int m = 0; m < TOKENS; ++m) {
            float total = sum(sums[row][m]);
            for (int rest = column; rest < columns; ++rest)
                total += to_float(w[size_t(row) * columns + rest]) * x[size_t(m) * x_stride + rest];
            y[size_t(m) * y_stride + row] = total;
        }
}

template <int ROWS, typename Weight>
inline void rows_times_tokens(const Weight* w, int columns, const float* x, int num_tokens, float* y, int y_stride) {
    constexpr int MOST = ROWS == 4 ? 3 : 4;  // as many accumulators as there are registers for
    int m = 0;
    for (; m + MOST <= num_tokens; m += MOST)
        block<ROWS, MOST>(w, columns, x + size_t(m) * columns, columns, y + size_t(m) * y_stride, y_stride);
    for (; m < num_tokens; ++m)
        block<ROWS, 1>(w, columns, x + size_t(m) * columns, columns, y + size_t(m) * y_stride, y_stride);
}

// The same for weights that are not float32 and several tokens: they are widened once for all tokens.
template <int ROWS, typename Weight>
inline void widened_rows(const Weight* w, int columns, const float* x, int num_tokens, float* y, int y_stride,
                         std::vector<float>& buffer) {
    if (std::is_same<Weight, float>::value || num_tokens < 3)
        return rows_times_tokens<ROWS>(w, columns, x, num_tokens, y, y_stride);
    buffer.resize(size_t(ROWS) * columns);
    size_t i = 0;
    for (; i + LANES <= buffer.size(); i += LANES) {
        Vector wide = load(w + i);
        put(&buffer[i], wide);
    }
    for (; i < buffer.size(); ++i) buffer[i] = to_float(w[i]);
    rows_times_tokens<ROWS>(buffer.data(), columns, x, num_tokens, y, y_stride);
}

template <typename Weight>
void rows_of(const Matrix& matrix, int begin, int end, const float* x, int num_tokens, float* y) {
    const Weight* weights = static_cast<const Weight*>(matrix.weights);
    std::vector<float> buffer;
    int row = begin;
    for (; row + 4 <= end; row += 4)  // four rows stay in the cache for all tokens
        widened_rows<4>(weights + size_t(row) * matrix.columns, matrix.columns, x, num_tokens, y + row, matrix.rows, buffer);
    for (; row < end; ++row)
        widened_rows<1>(weights + size_t(row) * matrix.columns, matrix.columns, x, num_tokens, y + row, matrix.rows, buffer);
}

// This thread's share of y (N, rows) = x (N, columns) · weightsᵀ; no barrier.
void multiply(const Matrix& matrix, const float* x, int num_tokens, float* y) {
    int threads = omp_get_num_threads(), thread = omp_get_thread_num();
    int each = ((matrix.rows + threads - 1) / threads + 15) / 16 * 16;  // whole cache lines of y for each thread
    int begin = std::min(matrix.rows, thread * each), end = std::min(matrix.rows, begin + each);
    if (matrix.kind == FLOAT32) rows_of<float>(matrix, begin, end, x, num_tokens, y);
    if (matrix.kind == BFLOAT16) rows_of<Bfloat16>(matrix, begin, end, x, num_tokens, y);
}

float inverse_root_mean_square(const float* x, int size, float eps) {
    double squares = 0;
    for (int i = 0; i < size; i += 512) {
        float part = 0;
        for (int j = i; j < std::min(size, i + 512); ++j) part += x[j] * x[j];
        squares += part;
    }
    return 1.0f / std::sqrt(float(squares / size) + eps);
}

// to[i] = base[i] + norm(x)[i] · weight[i]; `base` may be null
void normalise(const float* x, const float* weight, int size, float eps, const float* base, float* to) {
    float scale = inverse_root_mean_square(x, size, eps);
    for (int i = 0; i < size; ++i) to[i] = (base ? base[i] : 0.0f) + weight[i] * (x[i] * scale);
}

void rotate(float* heads, int num_heads, int head_dim, const float* cos, const float* sin) {
    int half = head_dim / 2;
    for (int head = 0; head < num_heads; ++head, heads += head_dim)
        for (int i = 0; i < half; ++i) {
            float first = heads[i], second = heads[i + half];
            heads[i] = first * cos[i] + second * sin[i];
            heads[i + half] = second * cos[i + half] + first * sin[i + half];
        }
}

// What one query head of one token attends to.
template <typename Number>
void attend(const Model& model, const Number* keys, const Number* values, const int32_t* pages, int num_keys, int kv_head,
            const float* query, float* scores, float* mixed) {
    int head_dim = model.head_dim, page_tokens = model.page_tokens;
    float factor = 1.0f / std::sqrt(float(head_dim)), highest = -INFINITY;
    auto page_of = [&](const Number* from, int start) {
        return from + (size_t(pages[start / page_tokens]) * model.kv_heads + kv_head) * page_tokens * head_dim;
    };
    for (int start = 0; start < num_keys; start += page_tokens) {
        const Number* key = page_of(keys, start);
        for (int place = start; place < std::min(num_keys, start + page_tokens); ++place, key += head_dim) {
            Vector products = {};
            for (int i = 0; i < head_dim; i += LANES) products += load(key + i) * load(query + i);
            scores[place] = sum(products) * factor;
            highest = std::max(highest, scores[place]);
        }
    }
    for (int place = num_keys; place % LANES; ++place) scores[place] = -INFINITY;
    Vector totals = {};
    for (int place = 0; place < num_keys; place += LANES) {
        Vector some = exponential(load(scores + place) - highest);
        some = load(scores + place) == -INFINITY ? Vector{} : some;
        put(scores + place, some);
        totals += some;
    }
    float share = 1.0f / sum(totals);
    std::memset(mixed, 0, head_dim * sizeof(float));
    for (int start = 0; start < num_keys; start += page_tokens) {
        const Number* value = page_of(values, start);
        for (int place = start; place < std::min(num_keys, start + page_tokens); ++place, value += head_dim) {
            float weight = scores[place] * share;
            for (int i = 0; i < head_dim; i += LANES) {
                Vector next = load(mixed + i) + load(value + i) * weight;
                put(mixed + i, next);
            }
        }
    }
}

struct Workspace {
    std::vector<float> x, query, key, value, mixed, result, gate, up;

    Workspace(const Model& model, int num_tokens)
        : x(size_t(num_tokens) * model.hidden), query(x.size()), key(size_t(num_tokens) * model.kv_heads * model.head_dim),
          value(key.size()), mixed(x.size()), result(x.size()), gate(size_t(num_tokens) * model.inner), up(gate.size()) {}
};

template <typename Number>
void store_heads(const Model& model, void* cache, int page, int offset, const float* heads) {
    Number* to = static_cast<Number*>(cache) + (size_t(page) * model.kv_heads * model.page_tokens + offset) * model.head_dim;
    for (int head = 0; head < model.kv_heads; ++head, to += size_t(model.page_tokens) * model.head_dim)
        for (int i = 0; i < model.head_dim; ++i) store(to + i, heads[head * model.head_dim + i]);
}

// x += norm(result), shared by the threads; a barrier stands at its end.
void add_normalised(const Model& model, const float* weight, int num_tokens, Workspace& work) {
#pragma omp for schedule(static)
    for (int n = 0; n < num_tokens; ++n) {
        float* x = &work.x[size_t(n) * model.hidden];
        normalise(&work.result[size_t(n) * model.hidden], weight, model.hidden, model.eps, x, x);
    }
}

template <typename Number>
void run_layer(const Model& model, const Layer& layer, const Tokens& tokens, Workspace& work, float* scores) {
    int num_tokens = tokens.num_tokens, hidden = model.hidden, head_dim = model.head_dim;
    int kv_size = model.kv_heads * head_dim, group = model.heads / model.kv_heads;
    multiply(layer.query, work.x.data(), num_tokens, work.query.data());
    multiply(layer.key, work.x.data(), num_tokens, work.key.data());
    multiply(layer.value, work.x.data(), num_tokens, work.value.data());
#pragma omp barrier
#pragma omp for schedule(static)
    for (int n = 0; n < num_tokens; ++n) {
        float *query = &work.query[size_t(n) * hidden], *key = &work.key[size_t(n) * kv_size];
        normalise(query, layer.query_norm, hidden, model.eps, nullptr, query);
        normalise(key, layer.key_norm, kv_size, model.eps, nullptr, key);
        rotate(query, model.heads, head_dim, tokens.cos + size_t(n) * head_dim, tokens.sin + size_t(n) * head_dim);
        rotate(key, model.kv_heads, head_dim, tokens.cos + size_t(n) * head_dim, tokens.sin + size_t(n) * head_dim);
        int place = tokens.places[n], page = tokens.pages[size_t(n) * tokens.longest + place / model.page_tokens];
        store_heads<Number>(model, layer.keys, page, place % model.page_tokens, key);
        store_heads<Number>(model, layer.values, page, place % model.page_tokens, &work.value[size_t(n) * kv_size]);
    }
#pragma omp for schedule(dynamic, 1)
    for (int job = 0; job < num_tokens * model.heads; ++job) {
        int n = job / model.heads, head = job % model.heads;
        size_t at = size_t(n) * hidden + size_t(head) * head_dim;
        attend<Number>(model, static_cast<const Number*>(layer.keys), static_cast<const Number*>(layer.values),
                       tokens.pages + size_t(n) * tokens.longest, tokens.places[n] + 1, head / group, &work.query[at], scores,
                       &work.mixed[at]);
    }
    multiply(layer.output, work.mixed.data(), num_tokens, work.result.data());
#pragma omp barrier
    add_normalised(model, layer.attention_norm, num_tokens, work);
    multiply(layer.gate, work.x.data(), num_tokens, work.gate.data());
    multiply(layer.up, work.x.data(), num_tokens, work.up.data());
#pragma omp barrier
#pragma omp for schedule(static)
    for (size_t i = 0; i < work.gate.size() / LANES; ++i) {  // silu(gate) · up
        Vector gate = load(&work.gate[i * LANES]);
        gate = gate / (1.0f + exponential(-gate)) * load(&work.up[i * LANES]);
        put(&work.gate[i * LANES], gate);
    }
    multiply(layer.down, work.gate.data(), num_tokens, work.result.data());
#pragma omp barrier
    add_normalised(model, layer.mlp_norm, num_tokens, work);
}

void embed(const Model& model, int id, float* to) {
    size_t at = size_t(id) * model.hidden;
    for (int i = 0; i < model.hidden; ++i)
        to[i] = model.embedding.kind == FLOAT32 ? static_cast<const float*>(model.embedding.weights)[at + i]
                                                : to_float(static_cast<const Bfloat16*>(model.embedding.weights)[at + i]);
}

}  // namespace

extern "C" int forward_lanes() { return LANES; }

extern "C" void forward(const Model* model, const Tokens* tokens, int num_threads) {
    Workspace work(*model, tokens->num_tokens);
    std::vector<float> wanted(size_t(tokens->num_wanted) * model->hidden);
    int num_scores = (tokens->longest * model->page_tokens + LANES - 1) / LANES * LANES + LANES;
#pragma omp parallel num_threads(num_threads)
    {
        std::vector<float> scores(num_scores);
#pragma omp for schedule(static)
        for (int n = 0; n < tokens->num_tokens; ++n) embed(*model, tokens->ids[n], &work.x[size_t(n) * model->hidden]);
        for (int number = 0; number < model->num_layers; ++number) {
            if (model->cache_kind == FLOAT32)
                run_layer<float>(*model, model->layers[number], *tokens, work, scores.data());
            else
                run_layer<Bfloat16>(*model, model->layers[number], *tokens, work, scores.data());
        }
#pragma omp for schedule(static)
        for (int row = 0; row < tokens->num_wanted; ++row)
            normalise(&work.x[size_t(tokens->wanted[row]) * model->hidden], model->norm, model->hidden, model->eps, nullptr,
                      &wanted[size_t(row) * model->hidden]);
        multiply(model->head, wanted.data(), tokens->num_wanted, tokens->logits);
    }
}
