/* What the encoder's choices are measured by, energies and sums of log2(1 + |x| / step), and some of these choices: as
   models/spectrum/analysis.py and stereo.py. */
#include "floats.h"
#include "sound.h"
#include "variants.h"

enum { LANES = 16, CHUNK = 512 }; /* terms whose mantissas are multiplied before a logarithm is taken */
enum { BIAS = 127 };              /* of the exponents of floats */

/* --- Sums of logarithms ------------------------------------------------------------------------------------- */

/* A product of numbers from 1 on, in lanes: that of the mantissas, and the sums of the exponents with their bias. */
typedef struct {
    float mantissas[LANES];
    uint32_t exponents[LANES];
} Product;

INLINE Product one(void) {
    Product product;
    for (int i = 0; i < LANES; i++) {
        product.mantissas[i] = 1;
        product.exponents[i] = 0;
    }
    return product;
}

INLINE void multiply(Product *product, int lane, float term) {
    const uint32_t bits = (uint32_t)to_bits(term);
    product->exponents[lane] += bits >> 23;
    product->mantissas[lane] *= of_bits((int32_t)((bits & 0x7FFFFF) | 0x3F800000));
}

/* The sum of log2(1 + x) of `ratios` [count], which have room for a few more. */
INLINE float logarithms(float *ratios, int64_t count) {
    double sum = 0;
    INDEPENDENT
    for (int64_t k = 0; k < count; k++) ratios[k] += 1;
    for (; count % LANES; count++) ratios[count] = 1;
    for (int64_t first = 0; first < count; first += CHUNK) {
        const int64_t end = count - first < CHUNK ? count : first + CHUNK;
        Product product = one();
        for (int64_t k = first; k < end; k += LANES) {
            LANEWISE
            for (int i = 0; i < LANES; i++) multiply(&product, i, ratios[k + i]);
        }
        double all = 1;
        int64_t exponents = -BIAS * (end - first);
        for (int i = 0; i < LANES; i++) {
            all *= product.mantissas[i];
            exponents += product.exponents[i];
        }
        sum += log2(all) + (double)exponents;
    }
    return (float)sum;
}

INLINE void bits(const float *spectra, int64_t rows, int64_t size, const float *scales, const int64_t *edges,
                 int64_t bands, float *work, float *out) {
    for (int64_t row = 0; row < rows; row++, spectra += size, scales += bands) {
        for (int64_t band = 0; band < bands; band++) {
            INDEPENDENT
            for (int64_t k = edges[band]; k < edges[band + 1]; k++) work[k] = fabsf(spectra[k]) * scales[band];
        }
        out[row] = logarithms(work, edges[bands]);
    }
}

INLINE void mode_bits(const float *pair, int64_t blocks, int64_t size, const float *scales, const int64_t *edges,
                      int64_t bands, const float *weights, float *out) {
    enum { CODED = 2 + EVC_STEREO_MODES };
    for (int64_t block = 0; block < blocks; block++)
        for (int64_t band = 0; band < bands; band++, out += EVC_STEREO_MODES) {
            const float *left = pair + block * size, *right = left + blocks * size;
            const float scale = scales[block * bands + band];
            float sums[CODED] = {0};
            for (int64_t first = edges[band]; first < edges[band + 1]; first += CHUNK / LANES) {
                const int64_t end = clip(edges[band + 1], first, first + CHUNK / LANES);
                Product product = one();
                for (int64_t k = first; k < end; k++) {
                    const float l = left[k] * scale, r = right[k] * scale;
                    LANEWISE
                    for (int i = 0; i < LANES; i++)
                        multiply(&product, i, 1 + fabsf(weights[i] * l + weights[LANES + i] * r));
                }
                for (int i = 0; i < CODED; i++)
                    sums[i] += log2f(product.mantissas[i]) +
                               (float)((int64_t)product.exponents[i] - BIAS * (end - first));
            }
            out[0] = sums[0] + sums[1];
            for (int mode = 1; mode < EVC_STEREO_MODES; mode++) out[mode] = sums[2] + sums[2 + mode];
        }
}

/* --- Energies ----------------------------------------------------------------------------------------------- */

INLINE float squares(const float *values, int64_t count) {
    float sums[8] = {0}, rest = 0;
    int64_t k = 0;
    for (; k + 8 <= count; k += 8)
        for (int i = 0; i < 8; i++) sums[i] += values[k + i] * values[k + i];
    for (; k < count; k++) rest += values[k] * values[k];
    return (((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]))) + rest;
}

INLINE void energies(const float *spectra, int64_t rows, int64_t size, const int64_t *edges, int64_t bands,
                     float *out) {
    for (int64_t row = 0; row < rows; row++, spectra += size, out += bands)
        for (int64_t band = 0; band < bands; band++)
            out[band] = squares(spectra + edges[band], edges[band + 1] - edges[band]);
}

/* --- Choices ------------------------------------------------------------------------------------------------ */

/* The first of the least. */
static int least_of(const float *costs) {
    int found = 0;
    for (int mode = 1; mode < EVC_STEREO_MODES; mode++)
        if (costs[mode] < costs[found]) found = mode;
    return found;
}

void evc_cheapest_modes(float *costs, int64_t blocks, int64_t bands, float penalty, uint8_t *work, int64_t *modes) {
    const int64_t each = bands * EVC_STEREO_MODES;
    for (int64_t block = 1; block < blocks; block++)
        for (int64_t band = 0; band < bands; band++) {
            float *sums = costs + block * each + band * EVC_STEREO_MODES;
            const float *before = sums - each;
            uint8_t *origins = work + block * each + band * EVC_STEREO_MODES;
            const int best = least_of(before);
            const float switched = before[best] + penalty;
            for (int mode = 0; mode < EVC_STEREO_MODES; mode++) {
                const bool stays = before[mode] <= switched;
                origins[mode] = (uint8_t)(stays ? mode : best);
                sums[mode] += stays ? before[mode] : switched;
            }
        }
    for (int64_t band = 0; band < bands; band++) {
        int mode = blocks ? least_of(costs + (blocks - 1) * each + band * EVC_STEREO_MODES) : 0;
        for (int64_t block = blocks - 1; block >= 0; block--) {
            modes[block * bands + band] = mode;
            if (block) mode = work[block * each + band * EVC_STEREO_MODES + mode];
        }
    }
}

/* The mean distance, in octaves, of amplitudes from those of a group, of `blocks` with so much `energy` together. */
static float apart_by(const float *amplitudes, const float *energy, int64_t blocks, int64_t count, float least) {
    float sum = 0;
    for (int64_t i = 0; i < count; i++) {
        const float mean = sqrtf(energy[i] / (float)blocks);
        sum += fabsf(log2f(fmaxf(amplitudes[i], least) / fmaxf(mean, least)));
    }
    return sum / (float)count;
}

void evc_hold(float *amplitudes, const int64_t *places, const uint8_t *apart, const float *limits, int64_t blocks,
              float least, float *energy, uint8_t *held) {
    int64_t first = 0;
    if (!blocks) return;
    for (int64_t block = 0; block <= blocks; block++) {
        const int64_t count = places[first + 1] - places[first], in_group = block - first;
        const float *own = amplitudes + (block < blocks ? places[block] : 0);
        if (block < blocks) {
            held[block] = block > 0 && !apart[block] &&
                          apart_by(own, energy, in_group, count, least) < limits[block];
            if (held[block]) {
                for (int64_t i = 0; i < count; i++) energy[i] += own[i] * own[i];
                continue;
            }
        }
        for (int64_t i = 0; i < in_group * count; i++)
            amplitudes[places[first] + i] = sqrtf(energy[i % count] / (float)in_group);
        if (block == blocks) break;
        first = block;
        for (int64_t i = 0; i < places[block + 1] - places[block]; i++) energy[i] = own[i] * own[i];
    }
}

VARIANTS(bits,
         (const float *spectra, int64_t rows, int64_t size, const float *scales, const int64_t *edges, int64_t bands,
          float *work, float *out),
         (spectra, rows, size, scales, edges, bands, work, out))
VARIANTS(mode_bits,
         (const float *pair, int64_t blocks, int64_t size, const float *scales, const int64_t *edges, int64_t bands,
          const float *weights, float *out),
         (pair, blocks, size, scales, edges, bands, weights, out))
VARIANTS(energies,
         (const float *spectra, int64_t rows, int64_t size, const int64_t *edges, int64_t bands, float *out),
         (spectra, rows, size, edges, bands, out))
