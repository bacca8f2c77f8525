// The forward of an OLMo 2 for few tokens on a CPU, as one parallel region: what reads weights as fast as memory gives
// them, without a library call for every operation. Activations are float32; the cache is float32, bfloat16 or float16.
// cpu_forward.py compiles and calls it; the reference is the model itself.
//
// Shapes   N tokens of any sequences · C hidden · I inner · H query heads · K key-value heads · D head width

#include <memory>

#include "cpu_attention.h"
#include "cpu_products.h"

namespace {

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

// `size`: a multiple of LANES
float inverse_root_mean_square(const float* x, int size, float eps) {
    double squares = 0;
    for (int i = 0; i < size; i += 512) {
        Vector part = {};
        for (int j = i; j < std::min(size, i + 512); j += LANES) part += load(x + j) * load(x + j);
        squares += sum(part);
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

// The first token of each block of at most MOST_BLOCK that follow each other in a sequence, and the end.
std::vector<int> blocks_of(const Model& model, const Tokens& tokens) {
    std::vector<int> blocks;
    for (int n = 0; n < tokens.num_tokens; ++n) {
        auto page = [&](int token, int place) { return tokens.pages[size_t(token) * tokens.longest + place / model.page_tokens]; };
        // The page that a token is written to belongs to its sequence alone.
        bool goes_on = n > 0 && tokens.places[n] == tokens.places[n - 1] + 1 &&
                       page(n, tokens.places[n - 1]) == page(n - 1, tokens.places[n - 1]);
        if (!goes_on || n - blocks.back() == MOST_BLOCK) blocks.push_back(n);
    }
    blocks.push_back(tokens.num_tokens);
    return blocks;
}

// Numbers that are not set to zero first, which a vector does.
struct Numbers {
    explicit Numbers(size_t count) : count(count), numbers(new float[count]) {}
    float& operator[](size_t i) { return numbers[i]; }
    float* data() { return numbers.get(); }
    size_t size() const { return count; }

  private:
    size_t count;
    std::unique_ptr<float[]> numbers;
};

struct Workspace {
    Numbers x, query, key, value, mixed, result, gate, up, tiles;
    std::vector<int> blocks;

    Workspace(const Model& model, const Tokens& tokens)
        : x(size_t(tokens.num_tokens) * model.hidden), query(x.size()), key(size_t(tokens.num_tokens) * model.kv_heads * model.head_dim),
          value(key.size()), mixed(x.size()), result(x.size()), gate(size_t(tokens.num_tokens) * model.inner), up(gate.size()),
          tiles(Input::room(tokens.num_tokens, std::max(model.hidden, model.inner))),
          blocks(blocks_of(model, tokens)) {}
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
void run_layer(const Model& model, const Layer& layer, const Tokens& tokens, Workspace& work, Input& input) {
    int num_tokens = tokens.num_tokens, hidden = model.hidden, head_dim = model.head_dim;
    int kv_size = model.kv_heads * head_dim, group = model.heads / model.kv_heads;
    input.take(work.x.data(), num_tokens, layer.query, work.tiles.data());
    multiply(layer.query, input, work.query.data());
    multiply(layer.key, input, work.key.data());
    multiply(layer.value, input, work.value.data());
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
    for (int job = 0; job < int(work.blocks.size() - 1) * model.heads; ++job) {
        int block = job / model.heads, head = job % model.heads, n = work.blocks[block];
        size_t at = size_t(n) * hidden + size_t(head) * head_dim;
        Remembered<Number> past{static_cast<const Number*>(layer.keys), static_cast<const Number*>(layer.values),
                                tokens.pages + size_t(n) * tokens.longest, model.kv_heads, head / group, model.page_tokens, head_dim};
        attend_block(past, tokens.places[n] + 1, work.blocks[block + 1] - n, &work.query[at], hidden, &work.mixed[at]);
    }
    input.take(work.mixed.data(), num_tokens, layer.output, work.tiles.data());
    multiply(layer.output, input, work.result.data());
#pragma omp barrier
    add_normalised(model, layer.attention_norm, num_tokens, work);
    input.take(work.x.data(), num_tokens, layer.gate, work.tiles.data());
    multiply(layer.gate, input, work.gate.data());
    multiply(layer.up, input, work.up.data());
#pragma omp barrier
#pragma omp for schedule(static)
    for (size_t i = 0; i < work.gate.size() / LANES; ++i) {  // silu(gate) · up
        Vector gate = load(&work.gate[i * LANES]);
        gate = gate / (1.0f + exponential(-gate)) * load(&work.up[i * LANES]);
        put(&work.gate[i * LANES], gate);
    }
    input.take(work.gate.data(), num_tokens, layer.down, work.tiles.data());
    multiply(layer.down, input, work.result.data());
#pragma omp barrier
    add_normalised(model, layer.mlp_norm, num_tokens, work);
}

}  // namespace

extern "C" int forward_lanes() { return LANES; }

extern "C" void forward(const Model* model, const Tokens* tokens, int num_threads) {
    Workspace work(*model, *tokens);
    Numbers wanted(size_t(tokens->num_wanted) * model->hidden);
#pragma omp parallel num_threads(num_threads)
    {
        static thread_local Input input;  // which keeps its room from step to step
#pragma omp for schedule(static)
        for (int n = 0; n < tokens->num_tokens; ++n) widen_row(model->embedding, tokens->ids[n], 0, model->hidden, &work.x[size_t(n) * model->hidden]);
        for (int number = 0; number < model->num_layers; ++number) {
            if (model->cache_kind == FLOAT32)
                run_layer<float>(*model, model->layers[number], *tokens, work, input);
            else if (model->cache_kind == FLOAT16)
                run_layer<Float16>(*model, model->layers[number], *tokens, work, input);
            else
                run_layer<Bfloat16>(*model, model->layers[number], *tokens, work, input);
        }
#pragma omp for schedule(static)
        for (int row = 0; row < tokens->num_wanted; ++row)
            normalise(&work.x[size_t(tokens->wanted[row]) * model->hidden], model->norm, model->hidden, model->eps, nullptr,
                      &wanted[size_t(row) * model->hidden]);
        input.take(wanted.data(), tokens->num_wanted, model->head, work.tiles.data());
        multiply(model->head, input, tokens->logits);
    }
}
