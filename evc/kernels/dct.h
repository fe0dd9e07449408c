/* Fourier transforms of any power of two, and the DCT-IV of one block (spec 10.4): as models/spectrum/mdct.py. spectra.c has transforms of its own. */
#pragma once
#include "variants.h"

/* Complex numbers, real and imaginary parts apart. */
typedef struct {
    float *re, *im;
} Complexes;

/* One stage of a Stockham FFT (decimation in frequency): `stride` interleaved transforms of length 4 * quarter become
   four times as many of a fourth of the length. `turns`: three rows of factors [quarter], real and imaginary apart. */
INLINE void fourfold(Complexes from, Complexes to, int64_t quarter, int64_t stride, const float *turns) {
    const int64_t far = quarter * stride;
    for (int64_t p = 0; p < quarter; p++) {
        const float *w = turns + p;
        const float r1 = w[0], i1 = w[quarter], r2 = w[2 * quarter], i2 = w[3 * quarter], r3 = w[4 * quarter],
                    i3 = w[5 * quarter];
        const float *re = from.re + stride * p, *im = from.im + stride * p;
        float *re_to = to.re + 4 * stride * p, *im_to = to.im + 4 * stride * p;
        INDEPENDENT
        for (int64_t q = 0; q < stride; q++) {
            const float sr = re[q] + re[q + 2 * far], si = im[q] + im[q + 2 * far];
            const float dr = re[q] - re[q + 2 * far], di = im[q] - im[q + 2 * far];
            const float tr = re[q + far] + re[q + 3 * far], ti = im[q + far] + im[q + 3 * far];
            const float er = re[q + far] - re[q + 3 * far], ei = im[q + far] - im[q + 3 * far];
            const float ar = dr + ei, ai = di - er, br = sr - tr, bi = si - ti, cr = dr - ei, ci = di + er;
            re_to[q] = sr + tr;
            im_to[q] = si + ti;
            re_to[q + stride] = ar * r1 - ai * i1;
            im_to[q + stride] = ar * i1 + ai * r1;
            re_to[q + 2 * stride] = br * r2 - bi * i2;
            im_to[q + 2 * stride] = br * i2 + bi * r2;
            re_to[q + 3 * stride] = cr * r3 - ci * i3;
            im_to[q + 3 * stride] = cr * i3 + ci * r3;
        }
    }
}

/* The first stage, at a stride of 1: vectors along the factors. */
INLINE void first_fourfold(Complexes from, Complexes to, int64_t quarter, const float *w) {
    const float *re = from.re, *im = from.im;
    float *re_to = to.re, *im_to = to.im;
    INDEPENDENT
    for (int64_t p = 0; p < quarter; p++) {
        const float sr = re[p] + re[p + 2 * quarter], si = im[p] + im[p + 2 * quarter];
        const float dr = re[p] - re[p + 2 * quarter], di = im[p] - im[p + 2 * quarter];
        const float tr = re[p + quarter] + re[p + 3 * quarter], ti = im[p + quarter] + im[p + 3 * quarter];
        const float er = re[p + quarter] - re[p + 3 * quarter], ei = im[p + quarter] - im[p + 3 * quarter];
        const float ar = dr + ei, ai = di - er, br = sr - tr, bi = si - ti, cr = dr - ei, ci = di + er;
        re_to[4 * p] = sr + tr;
        im_to[4 * p] = si + ti;
        re_to[4 * p + 1] = ar * w[p] - ai * w[p + quarter];
        im_to[4 * p + 1] = ar * w[p + quarter] + ai * w[p];
        re_to[4 * p + 2] = br * w[p + 2 * quarter] - bi * w[p + 3 * quarter];
        im_to[4 * p + 2] = br * w[p + 3 * quarter] + bi * w[p + 2 * quarter];
        re_to[4 * p + 3] = cr * w[p + 4 * quarter] - ci * w[p + 5 * quarter];
        im_to[4 * p + 3] = cr * w[p + 5 * quarter] + ci * w[p + 4 * quarter];
    }
}

/* `stride` interleaved transforms of four numbers. */
INLINE void last_four(Complexes from, Complexes to, int64_t stride) {
    const float *re = from.re, *im = from.im;
    float *re_to = to.re, *im_to = to.im;
    INDEPENDENT
    for (int64_t q = 0; q < stride; q++) {
        const float sr = re[q] + re[q + 2 * stride], si = im[q] + im[q + 2 * stride];
        const float dr = re[q] - re[q + 2 * stride], di = im[q] - im[q + 2 * stride];
        const float tr = re[q + stride] + re[q + 3 * stride], ti = im[q + stride] + im[q + 3 * stride];
        const float er = re[q + stride] - re[q + 3 * stride], ei = im[q + stride] - im[q + 3 * stride];
        re_to[q] = sr + tr;
        im_to[q] = si + ti;
        re_to[q + stride] = dr + ei;
        im_to[q + stride] = di - er;
        re_to[q + 2 * stride] = sr - tr;
        im_to[q + 2 * stride] = si - ti;
        re_to[q + 3 * stride] = dr - ei;
        im_to[q + 3 * stride] = di + er;
    }
}

/* `stride` interleaved transforms of eight numbers: of sums and differences, fours. */
INLINE void last_eight(Complexes from, Complexes to, int64_t stride) {
    const float half = 0.70710678118654752f;
    const float *re = from.re, *im = from.im;
    float *re_to = to.re, *im_to = to.im;
    INDEPENDENT
    for (int64_t q = 0; q < stride; q++) {
        float sr[4], si[4], dr[4], di[4];
        for (int i = 0; i < 4; i++) {
            sr[i] = re[q + i * stride] + re[q + (i + 4) * stride];
            si[i] = im[q + i * stride] + im[q + (i + 4) * stride];
            dr[i] = re[q + i * stride] - re[q + (i + 4) * stride];
            di[i] = im[q + i * stride] - im[q + (i + 4) * stride];
        }
        const float r1 = (dr[1] + di[1]) * half, i1 = (di[1] - dr[1]) * half;
        const float r3 = (di[3] - dr[3]) * half, i3 = -(dr[3] + di[3]) * half;
        const float r2 = di[2], i2 = -dr[2];
#define STORE(K, R, I) re_to[q + (K) * stride] = (R), im_to[q + (K) * stride] = (I)
        STORE(0, (sr[0] + sr[2]) + (sr[1] + sr[3]), (si[0] + si[2]) + (si[1] + si[3]));
        STORE(4, (sr[0] + sr[2]) - (sr[1] + sr[3]), (si[0] + si[2]) - (si[1] + si[3]));
        STORE(2, (sr[0] - sr[2]) + (si[1] - si[3]), (si[0] - si[2]) - (sr[1] - sr[3]));
        STORE(6, (sr[0] - sr[2]) - (si[1] - si[3]), (si[0] - si[2]) + (sr[1] - sr[3]));
        STORE(1, (dr[0] + r2) + (r1 + r3), (di[0] + i2) + (i1 + i3));
        STORE(5, (dr[0] + r2) - (r1 + r3), (di[0] + i2) - (i1 + i3));
        STORE(3, (dr[0] - r2) + (i1 - i3), (di[0] - i2) - (r1 - r3));
        STORE(7, (dr[0] - r2) - (i1 - i3), (di[0] - i2) + (r1 - r3));
#undef STORE
    }
}

/* The discrete Fourier transform of `x` [size], a power of two from 16 on, in `x`; both are lost, and may have changed
   places. With real and imaginary parts exchanged before and after, the inverse times `size`. `turns`: those of the
   stages. */
INLINE void fourier(Complexes *x, Complexes *y, int64_t size, const float *turns) {
    Complexes from = *x, to = *y;
    int64_t length = size / 4, stride = 4;
    first_fourfold(from, to, length, turns);
    turns += length * 6;
    for (; length > 8; length /= 4) {
        const Complexes before = from;
        from = to;
        to = before;
        if (stride == 4) fourfold(from, to, length / 4, 4, turns);
        else fourfold(from, to, length / 4, stride, turns);
        turns += length / 4 * 6;
        stride *= 4;
    }
    if (length == 8) last_eight(to, from, stride);
    else last_four(to, from, stride);
    *x = from;
    *y = to;
}

/* The DCT-IV of `in` [size], a power of two from 32 on, to `out`, which may be the same: one complex FFT of half the
   size between two turns. `turns` and `work` [2 * size]: see evc_dct4. */
INLINE void transformed(const float *in, float *out, int64_t size, const float *turns, float *work) {
    const int64_t half = size / 2;
    Complexes x = {work, work + half}, y = {work + size, work + size + half};
    const float *cosines = turns, *sines = turns + half;
    {
        float *even = y.re, *odd = y.im, *re = x.re, *im = x.im;
        INDEPENDENT
        for (int64_t k = 0; k < half; k++) {
            even[k] = in[2 * k];
            odd[k] = in[2 * k + 1];
        }
        INDEPENDENT
        for (int64_t k = 0; k < half; k++) {
            const float a = even[k], b = odd[half - 1 - k];
            re[k] = a * cosines[k] - b * sines[k];
            im[k] = a * sines[k] + b * cosines[k];
        }
    }
    fourier(&x, &y, half, turns + size);
    {
        const float *re = x.re, *im = x.im;
        float *even = y.re, *odd = y.im;
        INDEPENDENT
        for (int64_t k = 0; k < half; k++) {
            even[k] = re[k] * cosines[k] - im[k] * sines[k];
            odd[k] = -(re[k] * sines[k] + im[k] * cosines[k]);
        }
        INDEPENDENT
        for (int64_t k = 0; k < half; k++) {
            out[2 * k] = even[k];
            out[2 * k + 1] = odd[half - 1 - k];
        }
    }
}
