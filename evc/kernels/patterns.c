#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "patterns.h"

/* Sums are gathered in LANES parts, so that they are the same with and without wide instructions. */
enum { LANES = 8, FACTORS = 32 };

#if defined(__x86_64__) && !defined(_MSC_VER)
#define WITH_AVX2 __attribute__((target("avx2")))
#define INLINE static inline __attribute__((always_inline))
static bool wide(void) { return __builtin_cpu_supports("avx2"); }
#else
#define WITH_AVX2
#define INLINE static inline
static bool wide(void) { return false; }
#endif

/* Every loop over bins is compiled twice. */
#define TWICE(NAME, DECLARED, GIVEN)                                                                                  \
    WITH_AVX2 static void NAME##_wide DECLARED { NAME##_body GIVEN; }                                                 \
    static void NAME##_plain DECLARED { NAME##_body GIVEN; }                                                          \
    void NAME DECLARED {                                                                                              \
        if (wide()) NAME##_wide GIVEN;                                                                                \
        else NAME##_plain GIVEN;                                                                                      \
    }

INLINE float larger(float one, float other) { return one > other ? one : other; }
INLINE float smaller(float one, float other) { return one < other ? one : other; }

/* --- Bands of spectra ------------------------------------------------------------------------------------- */

INLINE float product(const float *one, const float *other, int64_t count) {
    float sums[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int lane = 0; lane < LANES; lane++) sums[lane] += one[i + lane] * other[i + lane];
    for (; i < count; i++) sum += one[i] * other[i];
    for (int lane = 0; lane < LANES; lane++) sum += sums[lane];
    return sum;
}

INLINE void evc_band_products_body(const evc_bands *layout, const float *one, int64_t rows, const float *other,
                                   int64_t others, float *products) {
    for (int64_t row = 0; row < rows; row++) {
        const float *first = one + row * layout->stride, *second = other + row % others * layout->stride;
        for (int64_t band = 0; band < layout->bands; band++) {
            const int64_t from = layout->edges[band];
            *products++ = product(first + from, second + from, layout->edges[band + 1] - from);
        }
    }
}
TWICE(evc_band_products,
      (const evc_bands *layout, const float *one, int64_t rows, const float *other, int64_t others, float *products),
      (layout, one, rows, other, others, products))

INLINE void evc_subtract_body(const evc_bands *layout, float *left, const float *other, int64_t rows,
                              const float *gains) {
    for (int64_t row = 0; row < rows; row++, left += layout->stride, other += layout->stride)
        for (int64_t band = 0; band < layout->bands; band++) {
            const float gain = gains[band];
            if (gain == 0) continue;
            for (int64_t i = layout->edges[band]; i < layout->edges[band + 1]; i++) left[i] -= gain * other[i];
        }
}
TWICE(evc_subtract,
      (const evc_bands *layout, float *left, const float *other, int64_t rows, const float *gains),
      (layout, left, other, rows, gains))

/* The sum of log2(1 + |left - gain * other| * inverse): one logarithm for every FACTORS values, which cannot overflow
   their product (a value above 2**30 steps counts as 2**30). */
INLINE double log_sum(const float *left, const float *other, float gain, float inverse, int64_t count) {
    double bits = 0;
    for (int64_t first = 0; first < count; first += FACTORS) {
        const int64_t end = first + FACTORS < count ? FACTORS : count - first;
        float factors[FACTORS];
        for (int64_t i = 0; i < end; i++)
            factors[i] = 1 + smaller(fabsf(left[first + i] - gain * other[first + i]) * inverse, 0x1p30f);
        double products[4] = {1, 1, 1, 1};
        int64_t i = 0;
        for (; i + 4 <= end; i += 4)
            for (int lane = 0; lane < 4; lane++) products[lane] *= factors[i + lane];
        for (; i < end; i++) products[0] *= factors[i];
        bits += log2(products[0] * products[1] * products[2] * products[3]);
    }
    return bits;
}

INLINE void evc_left_bits_body(const evc_bands *layout, int64_t planes, int64_t blocks, const float *residual,
                               const float *spectra, const int64_t *which, int64_t count, const float *gains,
                               const float *inverse, float *bits) {
    const int64_t plane_size = blocks * layout->stride;
    for (int64_t n = 0; n < count; n++)
        for (int64_t plane = 0; plane < planes; plane++)
            for (int64_t band = 0; band < layout->bands; band++) {
                const int64_t from = layout->edges[band], length = layout->edges[band + 1] - from;
                const float *left = residual + plane * plane_size + from;
                const float *other = spectra + (which[n] * planes + plane) * plane_size + from;
                double sum = 0;
                for (int64_t block = 0; block < blocks; block++)
                    sum += log_sum(left + block * layout->stride, other + block * layout->stride, *gains,
                                   inverse[plane * layout->bands + band], length);
                *bits++ = (float)sum;
                gains++;
            }
}
TWICE(evc_left_bits,
      (const evc_bands *layout, int64_t planes, int64_t blocks, const float *residual, const float *spectra,
       const int64_t *which, int64_t count, const float *gains, const float *inverse, float *bits),
      (layout, planes, blocks, residual, spectra, which, count, gains, inverse, bits))

/* --- Lags ------------------------------------------------------------------------------------------------- */

INLINE void evc_cross_spectrum_body(const float *one, const float *other, int64_t sections, int64_t bins,
                                    float *cross, float *power) {
    memset(cross, 0, (size_t)bins * 2 * sizeof *cross);
    memset(power, 0, (size_t)bins * sizeof *power);
    for (int64_t section = 0; section < sections; section++, one += 2 * bins, other += 2 * bins)
        for (int64_t bin = 0; bin < bins; bin++) {
            const float real = one[2 * bin], imaginary = one[2 * bin + 1];
            const float r = other[2 * bin], i = other[2 * bin + 1];
            cross[2 * bin] += real * r + imaginary * i;
            cross[2 * bin + 1] += real * i - imaginary * r;
            power[bin] += r * r + i * i;
        }
}
TWICE(evc_cross_spectrum,
      (const float *one, const float *other, int64_t sections, int64_t bins, float *cross, float *power),
      (one, other, sections, bins, cross, power))

INLINE void evc_scores_body(const float *sums, const float *energies, float *scores, float *highest, int64_t cells,
                            int64_t lags, float floor) {
    for (int64_t i = 0; i < cells * lags; i++)
        scores[i] = (sums[2 * i] * sums[2 * i] + sums[2 * i + 1] * sums[2 * i + 1]) / (energies[i] + floor);
    for (int64_t cell = 0; cell < cells; cell++, scores += lags) {
        float most = 0;
        for (int64_t i = 0; i < lags; i++) most = larger(most, scores[i]);
        highest[cell] = most;
    }
}
TWICE(evc_scores,
      (const float *sums, const float *energies, float *scores, float *highest, int64_t cells, int64_t lags,
       float floor),
      (sums, energies, scores, highest, cells, lags, floor))

/* --- The choice of copies --------------------------------------------------------------------------------- */

/* log2 of a positive normal number, to a unit or two of the last place: 2 artanh(s) / ln 2 of its fraction. */
INLINE float fast_log2(float value) {
    int32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const int32_t exponent = (bits - 0x3f3504f3) >> 23; /* the fraction lies between the roots of 1/2 and 2 */
    bits -= (int32_t)((uint32_t)exponent << 23);
    float fraction;
    memcpy(&fraction, &bits, sizeof fraction);
    const float s = (fraction - 1) / (fraction + 1), square = s * s;
    return (float)exponent + s * (2.8853900818f + square * (0.9617966939f + square * (0.5770780164f +
           square * 0.4121985831f)));
}

/* 2 to the power of 0 ... 120. */
INLINE float fast_exp2(float power) {
    const int32_t whole = (int32_t)(power + 0.5f), bits = (whole + 127) << 23;
    const float x = (power - (float)whole) * 0.6931471806f;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return scale * (1 + x * (1 + x * (1 / 2.f + x * (1 / 6.f + x * (1 / 24.f + x * (1 / 120.f + x * (1 / 720.f)))))));
}

/* Bits of a band: `cost` of models/patterns/cost.py. */
INLINE float cost(const evc_costs *c, float left, float heard, float brought, float width) {
    const float rest = larger(left, 0), limit = smaller(1 + c->rate_factor * rest / width, 0x1p120f);
    const float louder = smaller(larger(left / larger(heard, c->quiet * width), 1), 0x1p120f);
    const float coded = c->coded_noise * width * fast_exp2(c->step_exponent * fast_log2(louder));
    const int faint = brought < c->faint * heard, kept = left > c->uncoded * width;
    const float by_noise = c->filled, of_energy = c->energy_bits; /* read in any case: no branch to take */
    const float filled = rest * (faint ? by_noise : 1.f), energy = faint | kept ? of_energy : 0.f;
    return fast_log2(limit) * (width / 2) + c->noise_bits * smaller(filled, coded) + energy;
}

/* Subtracts from `saved` [bands] the bits of one block with the copy; `at`: of its first fine band in the arrays. */
INLINE void subtract_costs(const evc_costs *costs, const evc_copied *copied, int64_t at, float gain, float *saved) {
    enum { AT_ONCE = 64 };
    const float *own = copied->own + at, *heard = copied->heard + at, *cross = copied->cross + at,
                *power = copied->power + at, *widths = copied->widths, square = gain * gain;
    float bits[AT_ONCE];
    int64_t band = 0;
    for (int64_t first = 0; first < copied->fine; first += AT_ONCE) {
        const int64_t count = copied->fine - first < AT_ONCE ? copied->fine - first : AT_ONCE;
        for (int64_t i = 0; i < count; i++) {
            const int64_t fine = first + i;
            const float brought = square * power[fine];
            bits[i] = cost(costs, own[fine] - 2 * gain * cross[fine] + brought, heard[fine], brought, widths[fine]);
        }
        for (int64_t i = 0; i < count; i++) {
            if (first + i == copied->firsts[band + 1]) band++;
            saved[band] -= bits[i];
        }
    }
}

INLINE void evc_saved_body(const evc_costs *costs, const evc_copied *copied, const float *gains, int64_t count,
                           int64_t per, float *saved) {
    const evc_costs own_costs = *costs;
    const int64_t bands = copied->bands;
    for (int64_t number = 0; number < count; number++)
        for (int64_t plane = 0; plane < copied->planes; plane++)
            for (int64_t first = 0; first < copied->blocks; first += per, saved += bands) {
                memset(saved, 0, (size_t)bands * sizeof *saved);
                for (int64_t block = first; block < first + per; block++) {
                    const int64_t row = plane * copied->blocks + block;
                    for (int64_t band = 0; band < bands; band++) saved[band] += copied->plain[row * bands + band];
                    subtract_costs(&own_costs, copied, row * copied->fine, gains[number], saved);
                }
            }
}
TWICE(evc_saved,
      (const evc_costs *costs, const evc_copied *copied, const float *gains, int64_t count, int64_t per, float *saved),
      (costs, copied, gains, count, per, saved))

void evc_better_spans(const float *saved, int64_t gains, int64_t planes, int64_t superframes, int64_t bands,
                      const float *side, double more, int64_t number, double *best, int64_t *which) {
    const int64_t of_gain = planes * superframes * bands;
    double *value = malloc((size_t)superframes * sizeof *value);
    if (value == NULL) return;
    for (int64_t from = 0; from < superframes; from++) {
        for (int64_t i = from; i < superframes; i++) value[i] = -more;
        for (int64_t plane = 0; plane < planes; plane++)
            for (int64_t band = 0; band < bands; band++) {
                float sums[EVC_MOST_GAINS] = {0};
                for (int64_t i = from; i < superframes; i++) {
                    float most = 0;
                    for (int64_t gain = 0; gain < gains; gain++) {
                        sums[gain] += saved[gain * of_gain + (plane * superframes + i) * bands + band];
                        most = larger(most, sums[gain] - side[gain]);
                    }
                    value[i] += most;
                }
            }
        for (int64_t i = from; i < superframes; i++) {
            const int64_t at = from * (superframes + 1) + i + 1;
            if (value[i] > best[at]) {
                best[at] = value[i];
                which[at] = number;
            }
        }
    }
    free(value);
}
