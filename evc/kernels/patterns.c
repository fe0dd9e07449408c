/* What copies bring band by band, whether they pay, and where lags are: as models/patterns/products.py, cost.py,
   correlation.py and timeline.py. */
#include "patterns.h"

#include "floats.h"
#include "variants.h"

/* Sums are gathered in LANES parts, so that they are the same with and without wide instructions. */
enum { LANES = 8, FACTORS = 32 };

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

INLINE void band_products(const evc_bands *layout, const float *one, int64_t rows, const float *other,
                          int64_t others, float *products) {
    for (int64_t row = 0; row < rows; row++) {
        const float *first = one + row * layout->stride, *second = other + row % others * layout->stride;
        for (int64_t band = 0; band < layout->bands; band++) {
            const int64_t from = layout->edges[band];
            *products++ = product(first + from, second + from, layout->edges[band + 1] - from);
        }
    }
}

VARIANTS(band_products,
         (const evc_bands *layout, const float *one, int64_t rows, const float *other, int64_t others, float *products),
         (layout, one, rows, other, others, products))

INLINE void subtract(const evc_bands *layout, float *left, const float *other, int64_t rows,
                     const float *gains) {
    for (int64_t row = 0; row < rows; row++, left += layout->stride, other += layout->stride)
        for (int64_t band = 0; band < layout->bands; band++) {
            const float gain = gains[band];
            if (gain == 0) continue;
            for (int64_t i = layout->edges[band]; i < layout->edges[band + 1]; i++) left[i] -= gain * other[i];
        }
}

VARIANTS(subtract,
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

INLINE void left_bits(const evc_bands *layout, int64_t planes, int64_t blocks, const float *residual,
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

VARIANTS(left_bits,
         (const evc_bands *layout, int64_t planes, int64_t blocks, const float *residual, const float *spectra,
          const int64_t *which, int64_t count, const float *gains, const float *inverse, float *bits),
         (layout, planes, blocks, residual, spectra, which, count, gains, inverse, bits))

/* --- Lags ------------------------------------------------------------------------------------------------- */

INLINE void cross_spectrum(const float *one, const float *other, int64_t sections, int64_t bins,
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

VARIANTS(cross_spectrum,
         (const float *one, const float *other, int64_t sections, int64_t bins, float *cross, float *power),
         (one, other, sections, bins, cross, power))

INLINE void scores(const float *sums, const float *energies, float *out, float *highest, int64_t cells,
                   int64_t lags, float floor) {
    for (int64_t i = 0; i < cells * lags; i++)
        out[i] = (sums[2 * i] * sums[2 * i] + sums[2 * i + 1] * sums[2 * i + 1]) / (energies[i] + floor);
    for (int64_t cell = 0; cell < cells; cell++, out += lags) {
        float most = 0;
        for (int64_t i = 0; i < lags; i++) most = larger(most, out[i]);
        highest[cell] = most;
    }
}

VARIANTS(scores,
         (const float *sums, const float *energies, float *out, float *highest, int64_t cells, int64_t lags,
          float floor),
         (sums, energies, out, highest, cells, lags, floor))

/* --- The choice of copies --------------------------------------------------------------------------------- */

/* Bits of a band: `cost` of models/patterns/cost.py. All is computed in any case: no branch to take. */
INLINE float cost(const evc_costs *c, float left, float heard, float brought, float width) {
    const float rest = larger(left, 0), missing = larger(heard - brought, 0);
    const float off = sqrtf(heard) - sqrtf(larger(brought, 0));
    const int fill = missing > c->missing * heard;
    const float filling = c->filling * missing, level = c->level * off * off, energy_bits = c->energy_bits;
    const float noise = smaller(rest + (fill ? filling : 0.f), c->filled * heard) + (fill ? 0.f : level);
    const float uncoded = c->noise_bits * noise + (fill ? energy_bits : 0.f);
    const float limit = smaller(1 + c->rate_factor * rest / width, 0x1p120f);
    const float louder = smaller(larger(left / larger(heard, c->quiet * width), 1), 0x1p120f);
    const float steps = c->coded_noise * width * fast_exp2(c->step_exponent * fast_log2(louder));
    return smaller(uncoded, fast_log2(limit) * (width / 2) + c->noise_bits * steps + energy_bits);
}

/* Subtracts from `saved` [bands] the bits of one block with the copy; `at`: of its first fine band in the arrays. */
INLINE void subtract_costs(const evc_costs *costs, const evc_copied *copied, int64_t at, float gain, float *saved) {
    enum { AT_ONCE = 64 };
    const float *own = copied->own + at, *heard = copied->heard + at, *cross = copied->cross + at,
                *power = copied->power + at, *own_heard = copied->own_heard + at,
                *copy_heard = copied->copy_heard + at, *widths = copied->widths, square = gain * gain;
    float bits[AT_ONCE];
    int64_t band = 0;
    for (int64_t first = 0; first < copied->fine; first += AT_ONCE) {
        const int64_t count = copied->fine - first < AT_ONCE ? copied->fine - first : AT_ONCE;
        for (int64_t i = 0; i < count; i++) {
            const int64_t fine = first + i;
            const float left = own[fine] - 2 * gain * cross[fine] + square * power[fine];
            const float brought = heard[fine] - 2 * (own_heard[fine] - gain * copy_heard[fine]) + left;
            bits[i] = cost(costs, left, heard[fine], brought, widths[fine]);
        }
        for (int64_t i = 0; i < count; i++) {
            if (first + i == copied->firsts[band + 1]) band++;
            saved[band] -= bits[i];
        }
    }
}

INLINE void saved(const evc_costs *costs, const evc_copied *copied, const float *gains, int64_t count,
                  int64_t per, float *out) {
    const evc_costs own_costs = *costs;
    const int64_t bands = copied->bands;
    for (int64_t number = 0; number < count; number++)
        for (int64_t plane = 0; plane < copied->planes; plane++)
            for (int64_t first = 0; first < copied->blocks; first += per, out += bands) {
                memset(out, 0, (size_t)bands * sizeof *out);
                for (int64_t block = first; block < first + per; block++) {
                    const int64_t row = plane * copied->blocks + block;
                    for (int64_t band = 0; band < bands; band++) out[band] += copied->plain[row * bands + band];
                    subtract_costs(&own_costs, copied, row * copied->fine, gains[number], out);
                }
            }
}

VARIANTS(saved,
         (const evc_costs *costs, const evc_copied *copied, const float *gains, int64_t count, int64_t per, float *out),
         (costs, copied, gains, count, per, out))

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
