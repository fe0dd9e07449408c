/* The envelope stream, what it does to sound, and the levels that it comes from (spec 8.4, 10.12): as
   evc/format/streams/envelope.py and models/spectrum/envelope.py. */
#include "dct.h"
#include "sound.h"

enum { NEAR = 2 * EVC_ENVELOPE_NEAR + 1 };

void evc_read_envelope(evc_port *p, const evc_table *table, const int64_t *first, int64_t bands, int64_t hops,
                       int64_t *values) {
    p->kind = 0;
    p->counts[0] = 0;
    p->charges[0] = 0;
    for (int64_t hop = 0; hop < hops; hop++)
        for (int64_t band = 0; band < bands; band++, values++) {
            const int64_t last = hop > 0 ? values[-bands] : 0, before = hop > 1 ? values[-2 * bands] : 0;
            const int64_t row = first[band] + NEAR * (clip(last, -EVC_ENVELOPE_NEAR, EVC_ENVELOPE_NEAR) +
                                                      EVC_ENVELOPE_NEAR) +
                                clip(before, -EVC_ENVELOPE_NEAR, EVC_ENVELOPE_NEAR) + EVC_ENVELOPE_NEAR;
            if (row < 0 || row >= table->rows) p->error = EVC_ROW;
            if (p->error) return;
            *values = code_symbol(READ, p, table, row, 0) - EVC_MOST_ENVELOPE;
        }
}

/* The transform, to `x`, of 2 * hop samples under the window, those of a second channel as imaginary parts. */
INLINE void transform_hop(const float *left, const float *right, int64_t hop, const float *window,
                          const float *turns, Complexes *x, Complexes *y) {
    const int64_t size = 2 * hop;
    float *re = x->re, *im = x->im;
    INDEPENDENT
    for (int64_t n = 0; n < size; n++) re[n] = window[n] * left[n];
    if (right) {
        INDEPENDENT
        for (int64_t n = 0; n < size; n++) im[n] = window[n] * right[n];
    } else {
        memset(im, 0, (size_t)size * sizeof *im);
    }
    fourier(x, y, size, turns);
}

/* Bins from `low` on, and those of negative frequency, times a gain. */
INLINE void scale(Complexes x, int64_t size, int64_t low, int64_t high, float gain) {
    float *re = x.re, *im = x.im;
    INDEPENDENT
    for (int64_t k = low; k < high; k++) {
        re[k] *= gain;
        im[k] *= gain;
    }
    low = low ? low : 1; /* bin 0 is its own mirror, and so is that in the middle */
    high = high > size / 2 ? size / 2 : high;
    INDEPENDENT
    for (int64_t k = size - high + 1; k < size - low + 1; k++) {
        re[k] *= gain;
        im[k] *= gain;
    }
}

INLINE void shape(const float *signal, int64_t channels, int64_t samples, const int64_t *hops, int64_t count,
                  int64_t hop, const float *window, const int64_t *edges, int64_t bands, const float *more,
                  const float *turns, float *work, float *out) {
    const int64_t size = 2 * hop;
    const float share = 1.0f / (float)size;
    for (int64_t i = 0; i < count; i++, more += bands) {
        Complexes x = {work, work + size}, y = {work + 2 * size, work + 3 * size};
        const float *in = signal + hops[i] * hop;
        transform_hop(in, channels > 1 ? in + samples : NULL, hop, window, turns, &x, &y);
        scale(x, size, 0, edges[0], 0);
        for (int64_t band = 0; band < bands; band++) scale(x, size, edges[band], edges[band + 1], share * more[band]);
        /* With real and imaginary parts exchanged, the inverse. */
        Complexes back = {x.im, x.re}, other = {y.im, y.re};
        fourier(&back, &other, size, turns);
        for (int64_t channel = 0; channel < channels; channel++) {
            const float *from = channel ? back.re : back.im;
            float *to = out + channel * samples + hops[i] * hop;
            INDEPENDENT
            for (int64_t n = 0; n < size; n++) to[n] += from[n] * window[n];
        }
    }
}

INLINE void levels(const float *signal, int64_t channels, int64_t samples, int64_t hops, int64_t hop,
                   const float *window, const int64_t *edges, int64_t bands, const float *turns, float *work,
                   double *out) {
    const int64_t size = 2 * hop;
    for (int64_t i = 0; i < hops; i++) {
        Complexes x = {work, work + size}, y = {work + 2 * size, work + 3 * size};
        const float *in = signal + i * hop;
        transform_hop(in, channels > 1 ? in + samples : NULL, hop, window, turns, &x, &y);
        /* Of two channels together, what lies at k and at size - k. */
        const float *re = x.re, *im = x.im;
        float *power = y.re;
        INDEPENDENT
        for (int64_t k = 1; k <= hop; k++) {
            const float a = re[k], b = im[k], c = re[size - k], d = im[size - k];
            power[k] = 0.5f * (a * a + b * b + (c * c + d * d));
        }
        power[0] = re[0] * re[0] + im[0] * im[0];
        for (int64_t band = 0; band < bands; band++, out++) {
            double sum = 0;
            for (int64_t k = edges[band]; k < edges[band + 1]; k++) sum += power[k];
            *out = sum;
        }
    }
}

VARIANTS(shape,
         (const float *signal, int64_t channels, int64_t samples, const int64_t *hops, int64_t count, int64_t hop,
          const float *window, const int64_t *edges, int64_t bands, const float *more, const float *turns,
          float *work, float *out),
         (signal, channels, samples, hops, count, hop, window, edges, bands, more, turns, work, out))
VARIANTS(levels,
         (const float *signal, int64_t channels, int64_t samples, int64_t hops, int64_t hop, const float *window,
          const int64_t *edges, int64_t bands, const float *turns, float *work, double *out),
         (signal, channels, samples, hops, hop, window, edges, bands, turns, work, out))
