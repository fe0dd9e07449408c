#pragma once
#include <stdint.h>

#include "kernels.h"

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

/* --- The event stream (spec 7.1, evc/format/streams/event_coding.py) ----------------------------------------- */

enum { EVC_USUAL_PARTS = 15 };

/* The frozen tables; of each part the rows by the neighbour's code, by octave and by the code before. */
typedef struct {
    const int64_t *time, *note, *tuning, *interval, *fine, *rise, *pan, *rates;
    const int64_t *near[EVC_USUAL_PARTS], *octave[EVC_USUAL_PARTS], *before[EVC_USUAL_PARTS];
    int32_t rises, pans; /* how many symbols there are in a row of `rise` and of `pan` */
} evc_event_tables;

/* `count` events of the usual parts, on a grid of 2**grid in `cells` cells: times, amplitudes counted down from the
   greatest, pans counted from the left, codes [count, 16]. `symbols` and `bits` [EVC_EVENT_FIELDS]: what times,
   semitones, amplitudes, pans, parts and fine pitches cost. */
enum { EVC_EVENT_FIELDS = 5 + EVC_USUAL_PARTS };
typedef struct {
    int64_t count, cells;
    int32_t grid, levels, pans;
    int64_t *times, *amplitudes, *pan, *codes, *symbols;
    double *bits;
} evc_events;

/* What of events was out of range. */
enum { EVC_EVENTS_OK, EVC_EVENT_TIME, EVC_EVENT_PITCH };
int32_t evc_read_events(const evc_event_tables *tables, evc_port *port, const evc_events *events);
int32_t evc_write_events(const evc_event_tables *tables, evc_port *port, const evc_events *events);

/* --- The noise stream (spec 8.1, evc/format/streams/noise.py) ---------------------------------------------- */

/* A plane of at most EVC_MOST_CALL bands of levels from `least` to `most`; `scales` and `signs`: what its contexts
   begin with. NULL where there is no memory. */
typedef struct evc_noise_plane evc_noise_plane;
evc_noise_plane *evc_noise_begin(const evc_adaptive *adaptive, const int64_t *scales, const int64_t *signs,
                                 int32_t bands, int64_t least, int64_t most);
void evc_noise_end(evc_noise_plane *plane);

/* The next stretch of a plane, of which `left` hops are left: its length, 0 where it is out of range, and its levels
   [bands] at both ends. */
int64_t evc_read_stretch(evc_noise_plane *plane, evc_port *port, int64_t left, int64_t *start, int64_t *end);
void evc_write_stretch(evc_noise_plane *plane, evc_port *port, int64_t length, int64_t left, int64_t *start,
                       int64_t *end);

/* --- Levels of noise (noise_fit.c) ------------------------------------------------------------------------ */

/* The levels found [2, stretches, bands] at starts and ends, among `levels` ones from `least` on, that cost least.
   quadratic [5, stretches, bands]: the coefficients of an error in the level s of a start and e of an end: of s², s·e,
   e², and half those of s and e, less; rows, around [2, stretches, bands]: the row of the table `bits`
   [.., 2 * reach + 1] of changes from -reach on, and the change that is expected. 0 without memory. */
int32_t evc_noise_levels(const double *quadratic, int64_t stretches, int64_t bands, int64_t least, int64_t levels,
                         const int64_t *rows, const int64_t *around, const double *bits, int64_t reach,
                         int64_t *found);
