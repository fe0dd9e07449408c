/* What is elementwise in latent networks (spec 10.10): as models/latents/views.py and blocks.py. */
#include "latents.h"

#include "floats.h"
#include "variants.h"

/* Sums in a fixed order, eight at a time. */
enum { LANES = 8 };

INLINE float total(const float *lanes) {
    return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

/* Sums over the bins of each band, for rising and falling edges at once: `out` [bands]. */
INLINE void band_means(const evc_mel_bands *bands, const float *values, float *out) {
    float carried = 0;
    for (int32_t j = 0; j < bands->bands; j++) {
        float below[LANES] = {0}, above[LANES] = {0};
        int32_t bin = bands->runs[j];
        const int32_t end = bands->runs[j + 1];
        for (; bin + LANES <= end; bin += LANES)
            for (int lane = 0; lane < LANES; lane++) {
                below[lane] += values[bin + lane] * bands->lower[bin + lane];
                above[lane] += values[bin + lane] * bands->upper[bin + lane];
            }
        float low = total(below), high = total(above);
        for (; bin < end; bin++) {
            low += values[bin] * bands->lower[bin];
            high += values[bin] * bands->upper[bin];
        }
        out[j] = (low + carried) * bands->means[j];
        carried = high;
    }
}

/* Values by band [bands] between them, by bin. */
INLINE void between_bands(const evc_mel_bands *bands, const float *values, float *restrict out) {
    for (int32_t j = 0; j < bands->bands; j++) {
        const float low = values[j], high = values[j + 1 < bands->bands ? j + 1 : j];
        for (int32_t bin = bands->runs[j]; bin < bands->runs[j + 1]; bin++)
            out[bin] = low * bands->lower[bin] + high * bands->upper[bin];
    }
}

INLINE void band_powers(const evc_mel_bands *bands, const float *spectra, int64_t rows, float *powers) {
    float power[EVC_BINS];
    for (int64_t row = 0; row < rows; row++) {
        const float *one = spectra + 2 * EVC_BINS * row;
        for (int bin = 0; bin < EVC_BINS; bin++)
            power[bin] = one[2 * bin] * one[2 * bin] + one[2 * bin + 1] * one[2 * bin + 1];
        band_means(bands, power, powers + row * bands->bands);
    }
}

INLINE void mel_envelope(const evc_mel_bands *bands, const float *powers, int64_t frames, float silence, float faintest,
                         float *local, float *scale, float *coarse) {
    const int32_t count = bands->bands;
    for (int64_t frame = 0; frame < frames; frame++) {
        float loudest = 0;
        for (int32_t j = 0; j < EVC_PLANES * count; j++) loudest = larger(powers[j], loudest);
        const float least = faintest * loudest;
        for (int plane = 0; plane < EVC_PLANES; plane++) {
            between_bands(bands, powers, local);
            for (int bin = 0; bin < EVC_BINS; bin++) {
                const float power = local[bin] + silence;
                local[bin] = sqrtf(power);
                scale[bin] = sqrtf(power + least);
            }
            band_means(bands, scale, coarse);
            for (int32_t j = 0; j < count; j++) coarse[j] = ln(coarse[j]);
            powers += count;
            coarse += count;
            local += EVC_BINS;
            scale += EVC_BINS;
        }
    }
}

INLINE void view(const evc_mel_bands *bands, const float *spectra, const float *scale, const float *carpet, float faint,
                 float least, const float *tail, int32_t tails, int64_t frames, float *features, float *power,
                 float *levels) {
    float p[EVC_BINS];
    for (int64_t frame = 0; frame < frames; frame++) {
        float most[LANES] = {0};
        for (int bin = 0; bin + LANES <= EVC_PLANES * EVC_BINS; bin += LANES)
            for (int lane = 0; lane < LANES; lane++) most[lane] = larger(scale[bin + lane], most[lane]);
        for (int bin = EVC_PLANES * EVC_BINS / LANES * LANES; bin < EVC_PLANES * EVC_BINS; bin++)
            most[0] = larger(scale[bin], most[0]);
        for (int lane = 1; lane < LANES; lane++) most[0] = larger(most[lane], most[0]);
        const float added = faint * most[0];
        for (int plane = 0; plane < EVC_PLANES; plane++) {
            float *real = features + EVC_BINS, *imaginary = real + EVC_FINE_BINS;
            for (int bin = 0; bin < EVC_BINS; bin++) {
                const float re = (spectra[2 * bin] + added * carpet[2 * bin]) / scale[bin];
                const float im = (spectra[2 * bin + 1] + added * carpet[2 * bin + 1]) / scale[bin];
                p[bin] = re * re + im * im;
                features[bin] = 0.5f * ln(p[bin] + least);
            }
            for (int bin = 0; bin < EVC_FINE_BINS; bin++) {
                const float size = scale[bin] * sqrtf(sqrtf(p[bin] + least));
                real[bin] = (spectra[2 * bin] + added * carpet[2 * bin]) / size;
                imaginary[bin] = (spectra[2 * bin + 1] + added * carpet[2 * bin + 1]) / size;
            }
            memcpy(imaginary + EVC_FINE_BINS, tail, (size_t)tails * sizeof *tail);
            if (power) {
                memcpy(power, p, sizeof p);
                power += EVC_BINS;
            }
            if (levels) {
                band_means(bands, p, levels);
                for (int32_t j = 0; j < bands->bands; j++) levels[j] = 0.5f * ln(levels[j] + least);
                levels += bands->bands;
            }
            features += EVC_BINS + 2 * EVC_FINE_BINS + tails;
            spectra += 2 * EVC_BINS;
            scale += EVC_BINS;
            tail += tails;
        }
    }
}

INLINE void heard(const evc_mel_bands *bands, const float *said, const float *biases, const float *louder,
                  const float *power, float least, const float *local, float lowest, float highest, int64_t frames,
                  float *spectra) {
    const int32_t count = bands->bands, contrasts = EVC_PLANES * EVC_BINS, added = contrasts + EVC_PLANES * count;
    float contrast[EVC_BINS], smooth[EVC_BINS], by_band[EVC_MOST_BANDS];
    for (int64_t frame = 0; frame < frames; frame++, said += added + 2 * EVC_PLANES * EVC_BINS)
        for (int plane = 0; plane < EVC_PLANES; plane++) {
            for (int32_t j = 0; j < count; j++)
                by_band[j] = said[contrasts + plane * count + j] + biases[contrasts + plane * count + j];
            between_bands(bands, by_band, contrast);
            between_bands(bands, louder, smooth);
            const float *gains = said + plane * EVC_BINS, *own = biases + plane * EVC_BINS;
            const float *more = said + added + 2 * plane * EVC_BINS, *more_own = biases + added + 2 * plane * EVC_BINS;
            for (int bin = 0; bin < EVC_BINS; bin++) {
                const float gain =
                    gains[bin] + own[bin] + smooth[bin] + contrast[bin] * (0.5f * ln(power[bin] + least));
                const float bent = exponential(smaller(larger(gain, lowest), highest));
                spectra[2 * bin] = spectra[2 * bin] * bent + local[bin] * (more[bin] + more_own[bin]);
                spectra[2 * bin + 1] = spectra[2 * bin + 1] * bent +
                                       local[bin] * (more[EVC_BINS + bin] + more_own[EVC_BINS + bin]);
            }
            louder += count;
            power += EVC_BINS;
            local += EVC_BINS;
            spectra += 2 * EVC_BINS;
        }
}

/* --- Layers ----------------------------------------------------------------------------------------------- */

INLINE float sum(const float *values, int32_t count) {
    float lanes[LANES] = {0};
    int32_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int lane = 0; lane < LANES; lane++) lanes[lane] += values[i + lane];
    float found = total(lanes);
    for (; i < count; i++) found += values[i];
    return found;
}

INLINE float squares(const float *values, int32_t count) {
    float lanes[LANES] = {0};
    int32_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int lane = 0; lane < LANES; lane++) lanes[lane] += values[i + lane] * values[i + lane];
    float found = total(lanes);
    for (; i < count; i++) found += values[i] * values[i];
    return found;
}

INLINE void near_norm(const float *inputs, int64_t rows, int32_t count, const float *taps, int32_t kernel,
                      const float *tap_biases, const float *weights, const float *biases, float *outputs) {
    for (int64_t row = 0; row < rows; row++, inputs += count, outputs += count) {
        float *restrict out = outputs;
        if (taps) {
            for (int32_t i = 0; i < count; i++) out[i] = tap_biases[i] + taps[i] * inputs[i];
            for (int32_t tap = 1; tap < kernel; tap++)
                for (int32_t i = 0; i < count; i++) out[i] += taps[tap * count + i] * inputs[tap * count + i];
        } else {
            memcpy(out, inputs, (size_t)count * sizeof *out);
        }
        const float mean = sum(out, count) / (float)count;
        for (int32_t i = 0; i < count; i++) out[i] -= mean;
        const float share = 1 / sqrtf(squares(out, count) / (float)count + 1e-5f);
        for (int32_t i = 0; i < count; i++) out[i] = out[i] * share * weights[i] + biases[i];
    }
}

/* Phi(-t) is e**(-t**2 / 2) times what is nearly a quotient of polynomials. */
INLINE void gelu(float *values, int64_t rows, int32_t count, const float *biases, const float *tail) {
    const float p0 = tail[0], p1 = tail[1], p2 = tail[2], p3 = tail[3];
    const float q0 = tail[4], q1 = tail[5], q2 = tail[6], q3 = tail[7], q4 = tail[8];
    for (int64_t row = 0; row < rows; row++, values += count) {
        float *restrict out = values;
        for (int32_t i = 0; i < count; i++) {
            const float z = out[i] + biases[i], size = fabsf(z), t = smaller(size, 10);
            const float quotient = (p0 + t * (p1 + t * (p2 + t * p3))) / (q0 + t * (q1 + t * (q2 + t * (q3 + t * q4))));
            out[i] = 0.5f * (z + size) - t * (exponential(-0.5f * t * t) * quotient);
        }
    }
}

VARIANTS(band_powers, (const evc_mel_bands *bands, const float *spectra, int64_t rows, float *powers),
         (bands, spectra, rows, powers))
VARIANTS(mel_envelope,
         (const evc_mel_bands *bands, const float *powers, int64_t frames, float silence, float faintest, float *local,
          float *scale, float *coarse),
         (bands, powers, frames, silence, faintest, local, scale, coarse))
VARIANTS(view,
         (const evc_mel_bands *bands, const float *spectra, const float *scale, const float *carpet, float faint,
          float least, const float *tail, int32_t tails, int64_t frames, float *features, float *power, float *levels),
         (bands, spectra, scale, carpet, faint, least, tail, tails, frames, features, power, levels))
VARIANTS(heard,
         (const evc_mel_bands *bands, const float *said, const float *biases, const float *louder, const float *power,
          float least, const float *local, float lowest, float highest, int64_t frames, float *spectra),
         (bands, said, biases, louder, power, least, local, lowest, highest, frames, spectra))
VARIANTS(near_norm,
         (const float *inputs, int64_t rows, int32_t count, const float *taps, int32_t kernel,
          const float *tap_biases, const float *weights, const float *biases, float *outputs),
         (inputs, rows, count, taps, kernel, tap_biases, weights, biases, outputs))
VARIANTS(gelu, (float *values, int64_t rows, int32_t count, const float *biases, const float *tail),
         (values, rows, count, biases, tail))
