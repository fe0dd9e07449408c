/* Coefficients as they are coded to spectra, and what patterns add to these (spec 10.1 to 10.3, 10.7): as
   models/spectrum/reconstruction.py, stereo.py and models/patterns/sounding.py. */
#include "sound.h"
#include "start.h"
#include "variants.h"

static const float predictions[EVC_STEREO_MODES] = EVC_STEREO_PREDICTIONS;

/* Powers of two, of log units. */
static double octave[EVC_OCTAVE];

void evc_start_coefficients(void) {
    for (int i = 0; i < EVC_OCTAVE; i++) octave[i] = exp2((double)i / EVC_OCTAVE);
}

/* 2 to the power of value / 64. */
INLINE float power(int64_t value) {
    return (float)ldexp(octave[value & (EVC_OCTAVE - 1)], (int)clip(value >> 6, -2000, 2000));
}

/* --- Dequantisation ----------------------------------------------------------------------------------------- */

/* Noise of unit power by an integer hash. */
INLINE float noise(uint32_t x) {
    x ^= x >> 16;
    x *= 0x7FEB352Du;
    x ^= x >> 15;
    x *= 0x846CA68Bu;
    x ^= x >> 16;
    return (float)(int32_t)(x ^ 0x80000000u) * (float)(1.7320508075688772 / 2147483648.0);
}

/* The values of a band without noise; returns the sum of their squares, in double, since little may be left of a
   difference. */
INLINE double values_of(const int32_t *coefficients, int64_t width, float step, float *out) {
    double sums[8] = {0}, sum = 0;
    INDEPENDENT
    for (int64_t k = 0; k < width; k++) {
        const float coefficient = (float)coefficients[k], magnitude = fabsf(coefficient);
        const float shrink = magnitude == 1 ? (float)EVC_SHRINK_ONE : (float)EVC_SHRINK_LARGE;
        const float value = copysignf((magnitude - shrink) * step, coefficient);
        out[k] = magnitude == 0 ? 0 : value;
    }
    int64_t k = 0;
    for (; k + 8 <= width; k += 8) {
        LANEWISE
        for (int i = 0; i < 8; i++) sums[i] += (double)out[k + i] * out[k + i];
    }
    for (; k < width; k++) sum += (double)out[k] * out[k];
    for (int i = 0; i < 8; i++) sum += sums[i];
    return sum;
}

INLINE void dequantised(const int32_t *coefficients, int64_t width, float step, float rms, uint32_t counter,
                        float *out) {
    int32_t zeros = 0;
    for (int64_t k = 0; k < width; k++) zeros += coefficients[k] == 0;
    if (zeros == width) {
        const float level = (float)EVC_FILL_EMPTY * rms;
        INDEPENDENT
        for (int64_t k = 0; k < width; k++) out[k] = noise(counter + 8u * (uint32_t)k) * level;
        return;
    }
    const double coded = values_of(coefficients, width, step, out), left = (double)width * rms * rms - coded;
    if (!zeros || !(left > 0)) return;
    const double most = (float)EVC_FILL_CAP * step, wanted = EVC_FILL_PARTLY * sqrt(left / zeros);
    const float level = (float)(wanted < most ? wanted : most);
    INDEPENDENT
    for (int64_t k = 0; k < width; k++) {
        const float filling = noise(counter + 8u * (uint32_t)k) * level;
        out[k] = coefficients[k] == 0 ? filling : out[k];
    }
}

INLINE void dequantise(const int32_t *coefficients, const int64_t *energies, const int64_t *steps,
                       const int64_t *starts, int64_t channels, int64_t blocks, const int64_t *edges, int64_t bands,
                       int64_t channel, float *out) {
    const int64_t bins = edges[bands];
    for (int64_t row = 0; row < channels * blocks; row++, coefficients += bins, out += bins) {
        const int64_t block = row % blocks;
        const uint32_t counter = 8u * (uint32_t)starts[block] + (uint32_t)(channel + row / blocks);
        for (int64_t band = 0; band < bands; band++, energies++, steps++) {
            const int64_t first = edges[band];
            const float rms = *energies > 0 ? power(EVC_ENERGY_FLOOR + (*energies - 1) * EVC_ENERGY_STEP) : 0.0f;
            dequantised(coefficients + first, edges[band + 1] - first, power(*steps), rms,
                        counter + 8u * (uint32_t)first, out + first);
        }
    }
}

/* --- Stereo ------------------------------------------------------------------------------------------------- */

INLINE void stereo(const float *pair, int64_t size, const int64_t *modes, int64_t blocks, const int64_t *edges,
                   int64_t bands, int32_t inverse, float *out, int64_t size_out) {
    const float root = 0.70710678118654752f;
    const int64_t bins = edges[bands];
    for (int64_t block = 0; block < blocks; block++) {
        const float *a = pair + block * size, *b = a + blocks * size;
        float *first = out + block * size_out, *second = first + blocks * size_out;
        memset(first + bins, 0, (size_t)(size_out - bins) * sizeof *first);
        memset(second + bins, 0, (size_t)(size_out - bins) * sizeof *second);
        for (int64_t band = 0; band < bands; band++) {
            const int64_t start = edges[band], end = edges[band + 1], mode = modes[block * bands + band];
            const float prediction = predictions[clip(mode, 0, EVC_STEREO_MODES - 1)];
            if (mode == 0) {
                memcpy(first + start, a + start, (size_t)(end - start) * sizeof *a);
                memcpy(second + start, b + start, (size_t)(end - start) * sizeof *b);
            } else if (inverse) {
                INDEPENDENT
                for (int64_t k = start; k < end; k++) {
                    const float side = b[k] + prediction * a[k];
                    first[k] = (a[k] + side) * root;
                    second[k] = (a[k] - side) * root;
                }
            } else {
                INDEPENDENT
                for (int64_t k = start; k < end; k++) {
                    const float mid = (a[k] + b[k]) * root, side = (a[k] - b[k]) * root;
                    first[k] = mid;
                    second[k] = side - prediction * mid;
                }
            }
        }
    }
}

/* --- What patterns add -------------------------------------------------------------------------------------- */

INLINE void weigh(const float *spectra, int64_t blocks, const int64_t *from, float *total, int64_t blocks_to,
                  const int64_t *to, int64_t count, int64_t channels, int64_t size, const float *gains,
                  int64_t planes, int32_t mid_side, const int64_t *edges, int64_t bands) {
    for (int64_t i = 0; i < count; i++)
        for (int64_t band = 0; band < bands; band++) {
            const int64_t start = edges[band], end = edges[band + 1];
            if (mid_side) {
                const float *left = spectra + from[i] * size, *right = left + blocks * size;
                float *to_left = total + to[i] * size, *to_right = to_left + blocks_to * size;
                const float of_mid = 0.5f * gains[band], of_side = 0.5f * gains[bands + band];
                INDEPENDENT
                for (int64_t k = start; k < end; k++) {
                    const float mid = (left[k] + right[k]) * of_mid, side = (left[k] - right[k]) * of_side;
                    to_left[k] += mid + side;
                    to_right[k] += mid - side;
                }
                continue;
            }
            for (int64_t channel = 0; channel < channels; channel++) {
                const float gain = gains[(planes > 1 ? channel * bands : 0) + band];
                const float *source = spectra + (channel * blocks + from[i]) * size;
                float *sum = total + (channel * blocks_to + to[i]) * size;
                INDEPENDENT
                for (int64_t k = start; k < end; k++) sum[k] += source[k] * gain;
            }
        }
}

VARIANTS(dequantise,
         (const int32_t *coefficients, const int64_t *energies, const int64_t *steps, const int64_t *starts,
          int64_t channels, int64_t blocks, const int64_t *edges, int64_t bands, int64_t channel, float *out),
         (coefficients, energies, steps, starts, channels, blocks, edges, bands, channel, out))
VARIANTS(stereo,
         (const float *pair, int64_t size, const int64_t *modes, int64_t blocks, const int64_t *edges, int64_t bands,
          int32_t inverse, float *out, int64_t size_out),
         (pair, size, modes, blocks, edges, bands, inverse, out, size_out))
VARIANTS(weigh,
         (const float *spectra, int64_t blocks, const int64_t *from, float *total, int64_t blocks_to,
          const int64_t *to, int64_t count, int64_t channels, int64_t size, const float *gains, int64_t planes,
          int32_t mid_side, const int64_t *edges, int64_t bands),
         (spectra, blocks, from, total, blocks_to, to, count, channels, size, gains, planes, mid_side, edges, bands))
