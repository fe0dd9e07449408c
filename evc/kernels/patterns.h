#pragma once
#include <stdint.h>

/* Patterns: what copies bring, and whether they pay (models/patterns). */

/* Rows of spectra are `stride` bins apart; band b is bins edges[b] to edges[b + 1]. */
typedef struct {
    int64_t stride, bands;
    const int64_t *edges;
} evc_bands;

/* Inner products [rows, bands] of `one` [rows] with `other` [others], which repeats if it has fewer rows. */
void evc_band_products(const evc_bands *layout, const float *one, int64_t rows, const float *other, int64_t others,
                       float *products);

/* Takes `other` times gains [bands] from rows of `left`. */
void evc_subtract(const evc_bands *layout, float *left, const float *other, int64_t rows, const float *gains);

/* Bits [count, planes, bands] of what `residual` [planes, blocks] keeps when signals of `spectra`
   [..., planes, blocks], those with the numbers `which` [count], are taken from it times gains [count, planes, bands]:
   the sums of log2(1 + |value| * inverse), inverse [planes, bands]. */
void evc_left_bits(const evc_bands *layout, int64_t planes, int64_t blocks, const float *residual,
                   const float *spectra, const int64_t *which, int64_t count, const float *gains,
                   const float *inverse, float *bits);

/* The constants of models/patterns/cost.py. */
typedef struct {
    float rate_factor, coded_noise, noise_bits, step_exponent, filled, filling, missing, level, energy_bits, quiet;
} evc_costs;

/* Energies in squared steps [planes, blocks, fine bands] of what is to be coded, of all that is heard, and of a copy,
   and the copy's inner product with the first; the inner products of what is heard with the first and with the copy.
   Gains are chosen in bands: [bands + 1] first fine bands. */
typedef struct {
    int64_t planes, blocks, fine, bands;
    const int64_t *firsts;
    const float *widths; /* [fine], coefficients */
    const float *own, *heard, *cross, *power;
    const float *plain; /* [planes, blocks, bands]: bits without the copy */
    const float *own_heard, *copy_heard;
} evc_copied;

/* Bits saved [gains, planes, blocks / per, bands] by the copy at each of some gains. */
void evc_saved(const evc_costs *costs, const evc_copied *copied, const float *gains, int64_t count, int64_t per,
               float *saved);

/* Improves the `best` bits [superframes, superframes + 1] saved by a copy over superframes [from, to), and `which`
   copy it is, where number `number` is better: its bits saved [gains, planes, superframes, bands] less `side`
   [gains, at most EVC_MOST_GAINS] for every band that is on, and `more` for all. */
enum { EVC_MOST_GAINS = 8 };
void evc_better_spans(const float *saved, int64_t gains, int64_t planes, int64_t superframes, int64_t bands,
                      const float *side, double more, int64_t number, double *best, int64_t *which);

/* Sums over sections of conj(one) * other [bins] and of |other|**2 [bins]: complex values [sections, bins]. */
void evc_cross_spectrum(const float *one, const float *other, int64_t sections, int64_t bins, float *cross,
                        float *power);

/* Scores [cells, lags] of correlations: |sums|**2 / (energies + floor) of complex sums, and the highest in each
   cell. */
void evc_scores(const float *sums, const float *energies, float *scores, float *highest, int64_t cells, int64_t lags,
                float floor);
