#pragma once
#include "kernels.h"

/* What latent networks see, compute and make heard (spec 10.10), as models/latents/views.py and blocks.py have it.
   Spectra are complex, [frames, 2 (mid, side), EVC_BINS]; so is what follows from them by bin, but real. */
enum { EVC_WINDOW = 2048, EVC_BINS = 1025, EVC_PLANES = 2, EVC_FINE_BINS = 256, EVC_MOST_BANDS = 64 };

/* Spectra of audio [2, length] under a window [EVC_WINDOW], a hop apart: as many frames as there are, from the start of
   the audio on. */
void evc_spectra(const float *audio, int64_t length, const float *window, int64_t hop, int64_t frames, float *spectra);

/* Adds to audio [2, length] what spectra are as samples, under a window. */
void evc_waveform(const float *spectra, int64_t frames, const float *window, int64_t hop, float *audio, int64_t length);

/* Triangles that sum to 1 in every bin: `upper` [EVC_BINS] is a bin's share of the band above it, `lower` that of the
   band below it, which is j for the bins from runs[j] up to runs[j + 1]. `means` [bands] is 1 over the sum of each. */
typedef struct {
    int32_t bands;
    const int32_t *runs;
    const float *upper, *lower, *means;
} evc_mel_bands;

/* Mean power in bands of rows of spectra: [rows, bands]. */
void evc_band_powers(const evc_mel_bands *bands, const float *spectra, int64_t rows, float *powers);

/* From mean powers [frames, 2, bands], smoothed over frames: the local magnitude and the envelope of each bin, and the
   natural logarithm of the mean of the envelope in bands, `coarse` [frames, 2, bands]. `silence` is the power of a bin,
   `faintest` a share of that of the loudest band. */
void evc_mel_envelope(const evc_mel_bands *bands, const float *powers, int64_t frames, float silence, float faintest,
                      float *local, float *scale, float *coarse);

/* Spectra over their envelope, with `faint` of the greatest of it in the phases `carpet` added: `features` [frames,
   2 * (EVC_BINS + 2 * EVC_FINE_BINS + tails)], with `tail` [frames, 2, tails] as the last ones of each plane. Unless
   they are NULL, `power` becomes that by bin, and `levels` [frames, 2, bands] half the logarithm of its mean. */
void evc_view(const evc_mel_bands *bands, const float *spectra, const float *scale, const float *carpet, float faint,
              float least, const float *tail, int32_t tails, int64_t frames, float *features, float *power,
              float *levels);

/* Bends `spectra` of `power` and adds to them what a network says: `said` [frames, 2 * EVC_BINS gains, 2 * bands
   contrasts, 4 * EVC_BINS added], to which `biases` of the same shape belong, and gains by band `louder` [frames, 2,
   bands]. Gains are natural logarithms from `lowest` to `highest`. */
void evc_heard(const evc_mel_bands *bands, const float *said, const float *biases, const float *louder,
               const float *power, float least, const float *local, float lowest, float highest, int64_t frames,
               float *spectra);

/* --- Layers of networks ----------------------------------------------------------------------------------- */

/* Rows [rows, count] of a convolution of each channel by itself with `taps` [kernel, count], or of `inputs` as they are
   if these are NULL; every row less its mean, over its standard deviation, times `weights` plus `biases` [count]. */
void evc_near_norm(const float *inputs, int64_t rows, int32_t count, const float *taps, int32_t kernel,
                   const float *tap_biases, const float *weights, const float *biases, float *outputs);

/* z * Phi(z) of z = values + biases, in place: `values` [rows, count]. `tail` are four and five coefficients of a
   quotient of polynomials (blocks.py). */
void evc_gelu(float *values, int64_t rows, int32_t count, const float *biases, const float *tail);

/* --- Integers (spec 8.2) ----------------------------------------------------------------------------------- */

/* The probability model of latents (evc/format/streams/latent_model.py). Dimensions stand pass after pass: `at`
   [dimensions] tells which ones, `ends` [passes] where each pass ends, `look` [dimensions, looked] the places of what
   is known that each looks at, `first` [dimensions, outputs] the biases of the first of the `layers` of the network,
   whose last one has 2 outputs, padded to 8. `centres` [passes] have outputs in passes of predicted dimensions. */
typedef struct {
    int32_t dimensions, predicted, passes, looked, layers;
    const int32_t *ends, *at, *look, *first;
    const evc_layer *network, *centres;
    const evc_table *magnitudes, *differences;
} evc_latent_model;
enum { EVC_MOST_LATENT_LAYERS = 8 };

/* Latents [columns, dimensions] of a segment: their coding but for signs, which come last; bits that each column costs,
   signs included; and of what is `wanted`, in steps, integers of least squared error plus `worth` for each bit, under
   probabilities that follow from magnitudes cut off after `rounding` was added. Of the first, whether a latent is out
   of range. */
int32_t evc_latents_read(const evc_latent_model *model, evc_port *port, int32_t step, int64_t columns,
                         int64_t *latents);
void evc_latents_write(const evc_latent_model *model, evc_port *port, int32_t step, int64_t columns,
                       const int64_t *latents);
int32_t evc_latents_bits(const evc_latent_model *model, int32_t step, int64_t columns, const int64_t *latents,
                         double *bits);
int32_t evc_latents_choose(const evc_latent_model *model, int32_t step, int64_t columns, const float *wanted,
                           float rounding, float worth, int64_t *chosen);
