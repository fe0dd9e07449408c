#pragma once
#include <stdint.h>

/* Signal processing of the spectrum layer (spec 10.1 to 10.7), and what its encoder measures. Sizes of blocks are
   powers of two, spectra [channels, blocks, size] but where another shape is told; `edges` [bands + 1] are bins. */

/* --- The lapped transform (lapped.c) ------------------------------------------------------------------------ */

/* `turns` of a size are cosines and sines [size / 2] of the turns before and behind the FFT, then, for each of its
   stages, those of three factors; `slopes` are cosines, then sines [longest - 1] of the fold, for the overlaps
   2, 4 ... longest, outwards: mdct.py makes both. `work` is room. */

/* The DCT-IV of `in` [rows, size] to `out`, at `places` [rows] or, where that is NULL, [rows, size]. work: [2 * size],
   size at least 32. */
void evc_dct4(const float *in, float *out, const int64_t *places, int64_t rows, int64_t size, const float *turns,
              float *work);

/* The spectra of blocks of `signal` [channels, samples] that begin at `starts` [blocks] and overlap by `before` and
   `behind`. work: [3 * size]. */
void evc_lapped(const float *signal, int64_t channels, int64_t samples, const int64_t *starts, const int64_t *before,
                const int64_t *behind, int64_t blocks, int64_t size, const float *slopes, int64_t longest,
                const float *turns, float *work, float *out);

/* Rotates in place the samples of `signal` [channels, samples] around `boundaries` [count], over `overlaps`. */
void evc_fold(float *signal, int64_t channels, int64_t samples, const int64_t *boundaries, const int64_t *overlaps,
              int64_t count, const float *slopes, int64_t longest, int32_t inverse);

/* --- Coefficients (coefficients.c) -------------------------------------------------------------------------- */

/* Values of coefficients [channels, blocks, bins] with noise filled in (spec 10.1, 10.2), by energies and steps
   [channels, blocks, bands] and the first frames `starts` of the blocks. channel: number of the first one. */
void evc_dequantise(const int32_t *coefficients, const int64_t *energies, const int64_t *steps, const int64_t *starts,
                    int64_t channels, int64_t blocks, const int64_t *edges, int64_t bands, int64_t channel,
                    float *out);

/* Coded values [2, blocks, size_out] of spectra [2, blocks, size], or the inverse (spec 10.3), by modes [blocks,
   bands]. Both sizes are at least the bins; behind these, zeros are put out. */
void evc_stereo(const float *pair, int64_t size, const int64_t *modes, int64_t blocks, const int64_t *edges,
                int64_t bands, int32_t inverse, float *out, int64_t size_out);

/* Adds the blocks `from` [count] of `spectra` [channels, blocks, size], times gains [planes, bands], to the blocks `to`
   of `total` [channels, blocks_to, size] (spec 10.7). planes: 1, or one for each channel, or mid and side. */
void evc_weigh(const float *spectra, int64_t blocks, const int64_t *from, float *total, int64_t blocks_to,
               const int64_t *to, int64_t count, int64_t channels, int64_t size, const float *gains, int64_t planes,
               int32_t mid_side, const int64_t *edges, int64_t bands);

/* --- Envelopes (envelope.c) --------------------------------------------------------------------------------- */

/* Of `signal` [channels, samples], of one channel or two, hops are 2 * hop samples, `hop` apart, under `window`. `turns`
   are those of a Fourier transform of 2 * hop, a power of two from 32 on; `work` is [8 * hop]. */

/* Adds to `out`, as large, what the gains of `hops` [count], ascending, change: in bands from edges[i] to edges[i + 1]
   gains, less 1, are `more` [count, bands] (spec 10.12). */
void evc_shape(const float *signal, int64_t channels, int64_t samples, const int64_t *hops, int64_t count, int64_t hop,
               const float *window, const int64_t *edges, int64_t bands, const float *more, const float *turns,
               float *work, float *out);

/* Energies [hops, bands] of both channels together. */
void evc_levels(const float *signal, int64_t channels, int64_t samples, int64_t hops, int64_t hop, const float *window,
                const int64_t *edges, int64_t bands, const float *turns, float *work, double *out);

/* --- What the encoder measures (analysis.c) ----------------------------------------------------------------- */

/* Sums of squares [rows, bands] of spectra [rows, size]. */
void evc_energies(const float *spectra, int64_t rows, int64_t size, const int64_t *edges, int64_t bands, float *out);

/* The sum of log2(1 + |x| * scale) of each of the spectra [rows, size], for scales [rows, bands]; work: [size + 16]. */
void evc_bits(const float *spectra, int64_t rows, int64_t size, const float *scales, const int64_t *edges,
              int64_t bands, float *work, float *out);

/* The same of the two channels that each stereo mode codes: [blocks, bands, modes] of spectra [2, blocks, size] and
   scales [blocks, bands]. weights [2, 16]: of left and right in what modes code: left, right, mid, and from there on,
   for each mode but the first, the side less what is predicted. */
void evc_mode_bits(const float *pair, int64_t blocks, int64_t size, const float *scales, const int64_t *edges,
                   int64_t bands, const float *weights, float *out);

/* The cheapest sequence of modes [blocks, bands] by costs [blocks, bands, modes] and a penalty for each change; `costs`
   become sums, work is [blocks, bands, modes]. */
void evc_cheapest_modes(float *costs, int64_t blocks, int64_t bands, float penalty, uint8_t *work, int64_t *modes);

/* Groups blocks whose amplitudes are alike: amplitudes float32 of one block after the other, from `places` [blocks + 1]
   on, of at least `least`, become those that groups share; `held` [blocks] tells which go on with a group. New groups
   begin at blocks that are `apart` [blocks], and where the mean distance in octaves would reach `limits` [blocks].
   work: as many as a block has. */
void evc_hold(float *amplitudes, const int64_t *places, const uint8_t *apart, const float *limits, int64_t blocks,
              float least, float *work, uint8_t *held);

/* --- Samples (samples.c) ------------------------------------------------------------------------------------ */

/* out[t] = sum of taps[k] * in[t + taps - 1 - k], `in` [channels, count + length - 1]. */
void evc_interpolate(const float *in, int64_t channels, int64_t count, const float *taps, int64_t length, float *out);

/* The same of `in` [own, count + length - 1], but added to `out` [channels, samples] from sample `place` on: each of its
   own channels to every channel times weights [channels, own]. */
void evc_add_delayed(const float *in, int64_t own, int64_t count, const float *taps, int64_t length,
                     const float *weights, float *out, int64_t channels, int64_t samples, int64_t place);

/* Adds to `out` [channels, samples], from sample `place` on, `count` samples that are read from `in` [own, frames] at the
   positions first, first + step, ... by the filter of a `table` with `steps` values in a frame, stretched where a step is
   longer than one, or else by its `phases` (models/patterns/transposed.py). Behind loop_start + period, unless that is
   0, it goes round, or there and `back`. weights as above. */
void evc_add_transposed(const float *in, int64_t own, int64_t frames, double first, double step, double loop_start,
                        double period, int32_t back, const float *table, const float *phases,
                        int64_t steps, const float *weights, float *out, int64_t channels, int64_t samples, int64_t place,
                        int64_t count);

/* `out` [columns, rows] of `in` [rows, columns]. */
void evc_transpose(const float *in, int64_t rows, int64_t columns, float *out);

/* Samples of full scale 1, rounded and limited to 16 bits. */
void evc_int16(const float *in, int64_t count, int16_t *out);
