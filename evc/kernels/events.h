#pragma once
#include <stdint.h>

/* --- Events found in audio (models/events) ---------------------------------------------------------------- */

/* What codes of atoms stand for (atoms.py), and which resonators are harmonic. ratios ... phases [resonators, 8],
   multipliers complex [7, multiplier_codes]. */
typedef struct {
    int32_t attacks, decays, lengths, resonators, multiplier_codes;
    const double *rises, *decay_times, *length_times, *falls;
    const double *ratios, *decay_factors, *gains, *phases, *multipliers;
    const uint8_t *harmonic;
} evc_atoms;

/* The constants of fitting.py, harmonics.py, moments.py and weighting.py, by their names. */
typedef struct {
    int32_t hop, quick, phases, pan_steps, least_frames, weighting_hop;
    double attack_span, longest_body, longest_rise, slow_rise, slow_step, decayed, beginning, highest;
    double base_bits, partial_bits, quietest, amplitude_step, tolerance, shared;
} evc_fitting;

/* What events are fitted in: `onsets` of a window with the `moments` that they have (NaN for none), weights
   [25, columns] of errors, and room for [8, scratch_length] numbers. */
typedef struct {
    const evc_atoms *atoms;
    const evc_fitting *how;
    double rate, grid;
    int32_t channels, columns, onset_count;
    const double *onsets, *moments, *weights;
    double *scratch;
    int64_t scratch_length;
} evc_fitter;

typedef struct {
    double start;
    int32_t attack, decay, length;
} evc_envelope;

typedef struct {
    evc_envelope envelope;
    int32_t level, pan;
    int64_t codes[16], first, frames;
    double gain;
} evc_fitted;

/* Start, attack, decay and length of an event in a residual [channels, frames], from those of a shape whose start is
   certain by `uncertainty` s. 0 where there is none. */
int32_t evc_refine(const evc_fitter *fitter, const double *residual, int64_t frames, double frequency,
                   double uncertainty, evc_envelope *envelope);

/* The best event of a pitch (code) and an envelope, whose sound goes to waveform [channels, found->frames]. 0 where it
   takes away less than `threshold` per bit. */
int32_t evc_fit(const evc_fitter *fitter, const double *residual, int64_t frames, int32_t pitch, double frequency,
                const evc_envelope *envelope, double threshold, evc_fitted *found, double *waveform);

/* Adds to out [hops, cells, channels] what each channel's own taps [5, 3, channels] make of `padded`, which has two
   times `dilation` hops and one cell more on either side. */
void evc_filter_cells(const float *padded, const float *taps, float *out, int32_t hops, int32_t cells,
                      int32_t channels, int32_t dilation);
