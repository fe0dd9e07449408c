/* Short-time spectra (spec 10.10): real transforms of 2048 samples, each as one of 1024 complex numbers; as
   models/latents/views.py has them of NumPy. The stages of dct.h, which serve every size, do the same, but take a fifth
   to a third longer than these, whose lengths and strides are constants. */
#include "latents.h"
#include "start.h"
#include "variants.h"

enum { HALF = EVC_WINDOW / 2, QUARTER = HALF / 4 };

/* e**(-2 pi i k / HALF); the powers 1, 2, 3 of those that the first pass needs, one behind the other; and
   e**(-2 pi i k / EVC_WINDOW). */
static float cosines[HALF], sines[HALF];
static float first_re[3][QUARTER], first_im[3][QUARTER];
static float split_re[HALF + 1], split_im[HALF + 1];

typedef struct {
    float re[HALF], im[HALF];
} Block;

void evc_start_spectra(void) {
    const double turn = 6.283185307179586;
    for (int k = 0; k < HALF; k++) {
        cosines[k] = (float)cos(turn * k / HALF);
        sines[k] = (float)-sin(turn * k / HALF);
    }
    for (int power = 0; power < 3; power++)
        for (int k = 0; k < QUARTER; k++) {
            first_re[power][k] = cosines[(power + 1) * k];
            first_im[power][k] = sines[(power + 1) * k];
        }
    for (int k = 0; k <= HALF; k++) {
        split_re[k] = (float)cos(turn * k / EVC_WINDOW);
        split_im[k] = (float)-sin(turn * k / EVC_WINDOW);
    }
}

/* Four numbers, QUARTER apart, to the four that stand `apart` from each other behind a butterfly, turned by w. */
#define BUTTERFLY(from, to, apart, W1, W2, W3)                                                                        \
    do {                                                                                                              \
        const float ar = x_re[from], ai = x_im[from], br = x_re[(from) + QUARTER], bi = x_im[(from) + QUARTER];       \
        const float cr = x_re[(from) + 2 * QUARTER], ci = x_im[(from) + 2 * QUARTER];                                 \
        const float dr = x_re[(from) + 3 * QUARTER], di = x_im[(from) + 3 * QUARTER];                                 \
        const float sr = ar + cr, si = ai + ci, ur = br + dr, ui = bi + di;                                           \
        const float tr = ar - cr, ti = ai - ci, vr = br - dr, vi = bi - di;                                           \
        y_re[to] = sr + ur;                                                                                           \
        y_im[to] = si + ui;                                                                                           \
        TURNED((to) + (apart), tr + vi, ti - vr, W1);                                                                 \
        TURNED((to) + 2 * (apart), sr - ur, si - ui, W2);                                                             \
        TURNED((to) + 3 * (apart), tr - vi, ti + vr, W3);                                                             \
    } while (0)
#define TURNED(to, re, im, W)                                                                                         \
    do {                                                                                                              \
        const float r = re, i = im;                                                                                   \
        y_re[to] = r * W##_re - i * W##_im;                                                                           \
        y_im[to] = r * W##_im + i * W##_re;                                                                           \
    } while (0)

INLINE void first_pass(const float *restrict x_re, const float *restrict x_im, float *restrict y_re,
                       float *restrict y_im) {
    for (int p = 0; p < QUARTER; p++) {
        const float w1_re = first_re[0][p], w1_im = first_im[0][p], w2_re = first_re[1][p], w2_im = first_im[1][p];
        const float w3_re = first_re[2][p], w3_im = first_im[2][p];
        BUTTERFLY(p, 4 * p, 1, w1, w2, w3);
    }
}

INLINE void later_pass(const float *restrict x_re, const float *restrict x_im, float *restrict y_re,
                       float *restrict y_im, const int stride) {
    for (int p = 0; p < QUARTER / stride; p++) {
        const float w1_re = cosines[p * stride], w1_im = sines[p * stride];
        const float w2_re = cosines[2 * p * stride], w2_im = sines[2 * p * stride];
        const float w3_re = cosines[3 * p * stride], w3_im = sines[3 * p * stride];
        for (int q = 0; q < stride; q++) BUTTERFLY(q + stride * p, q + stride * 4 * p, stride, w1, w2, w3);
    }
}

/* The discrete Fourier transform of `x`, which is lost, in `y`: passes of radix 4 that leave the order right
   (Stockham). With real and imaginary parts exchanged on both sides it is the inverse, times HALF. */
INLINE void transform(float *x_re, float *x_im, float *y_re, float *y_im) {
    first_pass(x_re, x_im, y_re, y_im);
    later_pass(y_re, y_im, x_re, x_im, 4);
    later_pass(x_re, x_im, y_re, y_im, 16);
    later_pass(y_re, y_im, x_re, x_im, 64);
    later_pass(x_re, x_im, y_re, y_im, 256);
}

/* The transform of even samples as real, odd ones as imaginary parts, to that of all of them. */
INLINE void split(const Block *restrict z, float *restrict out) {
    out[0] = z->re[0] + z->im[0];
    out[2 * HALF] = z->re[0] - z->im[0];
    out[1] = out[2 * HALF + 1] = 0;
    for (int k = 1; k < HALF; k++) {
        const float er = 0.5f * (z->re[k] + z->re[HALF - k]), ei = 0.5f * (z->im[k] - z->im[HALF - k]);
        const float odd_re = 0.5f * (z->im[k] + z->im[HALF - k]), odd_im = 0.5f * (z->re[HALF - k] - z->re[k]);
        out[2 * k] = er + (odd_re * split_re[k] - odd_im * split_im[k]);
        out[2 * k + 1] = ei + (odd_re * split_im[k] + odd_im * split_re[k]);
    }
}

/* The inverse of `split`, times 2. */
INLINE void join(const float *restrict in, Block *restrict z) {
    z->re[0] = in[0] + in[2 * HALF];
    z->im[0] = in[0] - in[2 * HALF];
    for (int k = 1; k < HALF; k++) {
        const float ar = in[2 * k], ai = in[2 * k + 1], br = in[2 * (HALF - k)], bi = in[2 * (HALF - k) + 1];
        const float dr = ar - br, di = ai + bi;
        const float odd_re = dr * split_re[k] + di * split_im[k], odd_im = di * split_re[k] - dr * split_im[k];
        z->re[k] = ar + br - odd_im;
        z->im[k] = ai - bi + odd_re;
    }
}

INLINE void spectra(const float *audio, int64_t length, const float *window, int64_t hop, int64_t frames, float *out) {
    Block x, y;
    for (int64_t frame = 0; frame < frames; frame++)
        for (int plane = 0; plane < EVC_PLANES; plane++) {
            const float *in = audio + plane * length + frame * hop;
            for (int n = 0; n < HALF; n++) {
                x.re[n] = in[2 * n] * window[2 * n];
                x.im[n] = in[2 * n + 1] * window[2 * n + 1];
            }
            transform(x.re, x.im, y.re, y.im);
            split(&y, out + 2 * (int64_t)EVC_BINS * (EVC_PLANES * frame + plane));
        }
}

INLINE void waveform(const float *spectra, int64_t frames, const float *window, int64_t hop, float *audio,
                     int64_t length) {
    Block x, y;
    float piece[EVC_WINDOW];
    const float share = 1.0f / EVC_WINDOW;
    for (int64_t frame = 0; frame < frames; frame++)
        for (int plane = 0; plane < EVC_PLANES; plane++) {
            join(spectra + 2 * (int64_t)EVC_BINS * (EVC_PLANES * frame + plane), &x);
            transform(x.im, x.re, y.im, y.re);
            float *restrict out = audio + plane * length + frame * hop;
            for (int n = 0; n < HALF; n++) {
                piece[2 * n] = y.re[n] * share;
                piece[2 * n + 1] = y.im[n] * share;
            }
            for (int n = 0; n < EVC_WINDOW; n++) out[n] += piece[n] * window[n];
        }
}

VARIANTS(spectra,
         (const float *audio, int64_t length, const float *window, int64_t hop, int64_t frames, float *out),
         (audio, length, window, hop, frames, out))
VARIANTS(waveform,
         (const float *spectra, int64_t frames, const float *window, int64_t hop, float *audio, int64_t length),
         (spectra, frames, window, hop, audio, length))
