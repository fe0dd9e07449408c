#include "network.h"

/* Lanes of 32 bits: a few operations, on what the processor has. `Lanes` is a vector of LANES sums. Compiled for AVX2
   besides the baseline where the compiler can do both. */
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#define X86 1
#endif
#if defined(X86) && !defined(_MSC_VER)
#define WITH_AVX2 __attribute__((target("avx2")))
#endif

typedef void (*Evaluate)(const evc_layer *, const int16_t *, int32_t *);

/* Hidden layers are clipped to 0 ... 255. */
static void keep_hidden(const int32_t *sums, int32_t count, int16_t *hidden) {
    for (int32_t i = 0; i < count; i++) hidden[i] = (int16_t)clip(sums[i], 0, EVC_ACTIVATION_LIMIT);
}

#ifdef X86
static void layer_sse2(const evc_layer *layer, const int16_t *inputs, int32_t *out) {
    const int32_t pairs = (layer->inputs + 1) / 2, stride = layer->outputs;
    for (int32_t first = 0; first < layer->outputs; first += 8) {
        __m128i low = _mm_loadu_si128((const __m128i *)(layer->biases + first));
        __m128i high = _mm_loadu_si128((const __m128i *)(layer->biases + first + 4));
        const int16_t *weights = layer->weights + 2 * first;
        for (int32_t i = 0; i < pairs; i++, weights += 2 * stride) {
            int32_t pair;
            memcpy(&pair, inputs + 2 * i, sizeof pair);
            __m128i both = _mm_set1_epi32(pair);
            low = _mm_add_epi32(low, _mm_madd_epi16(both, _mm_loadu_si128((const __m128i *)weights)));
            high = _mm_add_epi32(high, _mm_madd_epi16(both, _mm_loadu_si128((const __m128i *)(weights + 8))));
        }
        _mm_storeu_si128((__m128i *)(out + first), _mm_srai_epi32(low, layer->shift));
        _mm_storeu_si128((__m128i *)(out + first + 4), _mm_srai_epi32(high, layer->shift));
    }
}
#else
static void layer_plain(const evc_layer *layer, const int16_t *inputs, int32_t *out) {
    const int32_t pairs = (layer->inputs + 1) / 2, stride = layer->outputs;
    memcpy(out, layer->biases, (size_t)stride * sizeof *out);
    const int16_t *weights = layer->weights;
    for (int32_t i = 0; i < pairs; i++, weights += 2 * stride)
        for (int32_t j = 0; j < stride; j++)
            out[j] += inputs[2 * i] * weights[2 * j] + inputs[2 * i + 1] * weights[2 * j + 1];
    for (int32_t j = 0; j < stride; j++) out[j] >>= layer->shift;
}
#endif

#ifdef WITH_AVX2
/* COUNT vectors of eight outputs at once, so that their sums stay in registers. */
#define COLUMNS(COUNT)                                                                                                \
    for (; first + 8 * COUNT <= layer->outputs; first += 8 * COUNT) {                                                 \
        __m256i sums[COUNT];                                                                                          \
        for (int v = 0; v < COUNT; v++)                                                                               \
            sums[v] = _mm256_loadu_si256((const __m256i *)(layer->biases + first + 8 * v));                           \
        const int16_t *weights = layer->weights + 2 * first;                                                          \
        for (int32_t i = 0; i < pairs; i++, weights += 2 * stride) {                                                  \
            int32_t pair;                                                                                             \
            memcpy(&pair, inputs + 2 * i, sizeof pair);                                                               \
            __m256i both = _mm256_set1_epi32(pair);                                                                   \
            for (int v = 0; v < COUNT; v++)                                                                           \
                sums[v] = _mm256_add_epi32(                                                                           \
                    sums[v], _mm256_madd_epi16(both, _mm256_loadu_si256((const __m256i *)(weights + 16 * v))));       \
        }                                                                                                             \
        for (int v = 0; v < COUNT; v++)                                                                               \
            _mm256_storeu_si256((__m256i *)(out + first + 8 * v), _mm256_srai_epi32(sums[v], layer->shift));          \
    }

WITH_AVX2 static void layer_avx2(const evc_layer *layer, const int16_t *inputs, int32_t *out) {
    const int32_t pairs = (layer->inputs + 1) / 2, stride = layer->outputs;
    int32_t first = 0;
    COLUMNS(6)
    COLUMNS(3)
    COLUMNS(1)
}
#endif

static Evaluate evaluate;

void evc_choose_network(void) {
#ifdef X86
    evaluate = layer_sse2;
#else
    evaluate = layer_plain;
#endif
#ifdef WITH_AVX2
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2")) evaluate = layer_avx2;
#endif
}

void evc_network(const evc_layer *layers, int32_t count, const int16_t *features, int64_t rows, int32_t *outputs) {
    int16_t hidden[EVC_WIDEST];
    int32_t sums[EVC_WIDEST];
    const int32_t inputs = layers[0].inputs + (layers[0].inputs & 1), last = layers[count - 1].outputs;
    for (int64_t row = 0; row < rows; row++) {
        const int16_t *values = features + row * inputs;
        for (int32_t number = 0; number < count - 1; number++) {
            evaluate(&layers[number], values, sums);
            keep_hidden(sums, layers[number].outputs, hidden);
            values = hidden;
        }
        evaluate(&layers[count - 1], values, outputs + row * last);
    }
}
