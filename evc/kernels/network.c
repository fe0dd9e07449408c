/* Integer networks (spec 9.8): products in pairs of 16 bits, sums in 32. As evc/format/streams/integer_network.py, and
   with the same integers for every processor. */
#include "variants.h"

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#define X86
#endif

/* One layer of one or two rows of inputs: hidden layers, clipped to 0 ... 255, or the last. */
typedef const int16_t *const Inputs[2];
typedef void (*Hidden)(const evc_layer *, Inputs inputs, int16_t *const hidden[2], int rows);
typedef void (*Last)(const evc_layer *, Inputs inputs, int32_t *const outputs[2], int rows);

/* --- Baseline ---------------------------------------------------------------------------------------------- */

#ifdef X86
/* SSE2, which every x86-64 processor has: two vectors of four outputs at a time. */
static void sums_baseline(const evc_layer *layer, const int16_t *inputs, int32_t *out) {
    const int32_t pairs = layer->inputs / 2, stride = layer->outputs;
    for (int32_t first = 0; first < stride; first += 8) {
        __m128i low = _mm_loadu_si128((const __m128i *)(layer->biases + first));
        __m128i high = _mm_loadu_si128((const __m128i *)(layer->biases + first + 4));
        const int16_t *weights = layer->weights + 2 * first;
        for (int32_t i = 0; i < pairs; i++, weights += 2 * stride) {
            int32_t pair;
            memcpy(&pair, inputs + 2 * i, sizeof pair);
            const __m128i both = _mm_set1_epi32(pair);
            low = _mm_add_epi32(low, _mm_madd_epi16(both, _mm_loadu_si128((const __m128i *)weights)));
            high = _mm_add_epi32(high, _mm_madd_epi16(both, _mm_loadu_si128((const __m128i *)(weights + 8))));
        }
        _mm_storeu_si128((__m128i *)(out + first), _mm_srai_epi32(low, layer->shift));
        _mm_storeu_si128((__m128i *)(out + first + 4), _mm_srai_epi32(high, layer->shift));
    }
}
#else
static void sums_baseline(const evc_layer *layer, const int16_t *inputs, int32_t *out) {
    const int32_t pairs = layer->inputs / 2, stride = layer->outputs;
    const int16_t *weights = layer->weights;
    memcpy(out, layer->biases, (size_t)stride * sizeof *out);
    for (int32_t i = 0; i < pairs; i++, weights += 2 * stride)
        for (int32_t j = 0; j < stride; j++)
            out[j] += inputs[2 * i] * weights[2 * j] + inputs[2 * i + 1] * weights[2 * j + 1];
    for (int32_t j = 0; j < stride; j++) out[j] >>= layer->shift;
}
#endif

static void hidden_baseline(const evc_layer *layer, Inputs inputs, int16_t *const hidden[2], int rows) {
    int32_t sums[EVC_WIDEST];
    for (int row = 0; row < rows; row++) {
        sums_baseline(layer, inputs[row], sums);
        for (int32_t j = 0; j < layer->outputs; j++) hidden[row][j] = (int16_t)clip(sums[j], 0, EVC_ACTIVATION_LIMIT);
    }
}

static void last_baseline(const evc_layer *layer, Inputs inputs, int32_t *const outputs[2], int rows) {
    for (int row = 0; row < rows; row++) sums_baseline(layer, inputs[row], outputs[row]);
}

/* --- AVX2 ------------------------------------------------------------------------------------------------- */

#ifdef CHOICE
/* Sums of `vectors` times eight outputs from `first` on, for `rows` rows that share the weights they load. Both are
   constants where this is called, so that all sums stay in registers. */
WIDER INLINE void sums_avx2(const evc_layer *layer, Inputs inputs, int32_t first, int vectors, int rows,
                           __m256i sums[2][4]) {
    const int32_t pairs = layer->inputs / 2, stride = 2 * layer->outputs;
    const int16_t *weights = layer->weights + 2 * first;
    for (int row = 0; row < rows; row++)
        for (int v = 0; v < vectors; v++)
            sums[row][v] = _mm256_loadu_si256((const __m256i *)(layer->biases + first + 8 * v));
    for (int32_t i = 0; i < pairs; i++, weights += stride) {
        __m256i both[2];
        for (int row = 0; row < rows; row++) {
            int32_t pair;
            memcpy(&pair, inputs[row] + 2 * i, sizeof pair);
            both[row] = _mm256_set1_epi32(pair);
        }
        for (int v = 0; v < vectors; v++) {
            const __m256i of_pair = _mm256_loadu_si256((const __m256i *)(weights + 16 * v));
            for (int row = 0; row < rows; row++)
                sums[row][v] = _mm256_add_epi32(sums[row][v], _mm256_madd_epi16(both[row], of_pair));
        }
    }
    const __m128i shift = _mm_cvtsi32_si128(layer->shift);
    for (int row = 0; row < rows; row++)
        for (int v = 0; v < vectors; v++) sums[row][v] = _mm256_sra_epi32(sums[row][v], shift);
}

WIDER INLINE void part_of_hidden(const evc_layer *layer, Inputs inputs, int32_t first, int vectors,
                                int rows, int16_t *const hidden[2]) {
    __m256i sums[2][4];
    sums_avx2(layer, inputs, first, vectors, rows, sums);
    for (int row = 0; row < rows; row++)
        for (int v = 0; v < vectors; v += 2) {
            __m256i both = _mm256_packs_epi32(sums[row][v], sums[row][v + 1 < vectors ? v + 1 : v]);
            both = _mm256_permute4x64_epi64(both, 0xD8);
            both = _mm256_max_epi16(both, _mm256_setzero_si256());
            both = _mm256_min_epi16(both, _mm256_set1_epi16(EVC_ACTIVATION_LIMIT));
            if (v + 1 < vectors) _mm256_storeu_si256((__m256i *)(hidden[row] + first + 8 * v), both);
            else _mm_storeu_si128((__m128i *)(hidden[row] + first + 8 * v), _mm256_castsi256_si128(both));
        }
}

WIDER INLINE void hidden_rows(const evc_layer *layer, Inputs inputs, int16_t *const hidden[2], int rows) {
    int32_t first = 0;
    for (; first + 32 <= layer->outputs; first += 32) part_of_hidden(layer, inputs, first, 4, rows, hidden);
    for (; first + 24 <= layer->outputs; first += 24) part_of_hidden(layer, inputs, first, 3, rows, hidden);
    for (; first + 16 <= layer->outputs; first += 16) part_of_hidden(layer, inputs, first, 2, rows, hidden);
    for (; first < layer->outputs; first += 8) part_of_hidden(layer, inputs, first, 1, rows, hidden);
}

WIDER static void hidden_avx2(const evc_layer *layer, Inputs inputs, int16_t *const hidden[2], int rows) {
    if (rows == 2) hidden_rows(layer, inputs, hidden, 2);
    else hidden_rows(layer, inputs, hidden, 1);
}

WIDER static void last_avx2(const evc_layer *layer, Inputs inputs, int32_t *const outputs[2], int rows) {
    __m256i sums[2][4] = {{_mm256_setzero_si256()}};
    for (int32_t first = 0; first < layer->outputs; first += 8) {
        if (rows == 2) sums_avx2(layer, inputs, first, 1, 2, sums);
        else sums_avx2(layer, inputs, first, 1, 1, sums);
        for (int row = 0; row < rows; row++) _mm256_storeu_si256((__m256i *)(outputs[row] + first), sums[row][0]);
    }
}
#endif

/* --- Either ----------------------------------------------------------------------------------------------- */

void evc_network(const evc_layer *layers, int32_t count, const int16_t *features, int64_t rows, int32_t *outputs) {
    int16_t values[2][2][EVC_WIDEST]; /* between layers: what one reads, and the next */
    const int32_t inputs = layers[0].inputs, last = layers[count - 1].outputs;
    Hidden hidden_layer = hidden_baseline;
    Last last_layer = last_baseline;
#ifdef CHOICE
    if (evc_wider) {
        hidden_layer = hidden_avx2;
        last_layer = last_avx2;
    }
#endif
    for (int64_t row = 0; row < rows; row += 2) {
        const int both = row + 1 < rows ? 2 : 1;
        const int16_t *from[2] = {features + row * inputs, features + (row + both - 1) * inputs};
        for (int32_t number = 0; number < count - 1; number++) {
            int16_t *const to[2] = {values[number & 1][0], values[number & 1][1]};
            hidden_layer(&layers[number], from, to, both);
            from[0] = to[0];
            from[1] = to[1];
        }
        int32_t *const to[2] = {outputs + row * last, outputs + (row + both - 1) * last};
        last_layer(&layers[count - 1], from, to, both);
    }
}
