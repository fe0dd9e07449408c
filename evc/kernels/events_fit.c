/* Phase, amplitude, pan and partials of an event of known pitch and envelope: as `EventFitter.fit_at` in
   models/events/fitting.py, and harmonics.py. */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "events.h"

#define PI 3.14159265358979323846
enum { BLOCK = 256, PARTIALS = 8, BARKS = 25 };

/* An event at the frames where it sounds: what is left of the residual through its pan, its envelope, its oscillator,
   and what became of it. */
typedef struct {
    int64_t frames;
    double t0, rate, frequency, start;
    double *mono, *left, *envelope, *re, *im, *wave, *partial_re, *partial_im;
} Tone;

static double dot(const double *a, const double *b, int64_t count) {
    double sums[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (int j = 0; j < 4; j++) sums[j] += a[i + j] * b[i + j];
    for (; i < count; i++) sums[0] += a[i] * b[i];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* exp((-damping + 2 pi i frequency) t) for `count` moments from t0 on, times a complex factor and an envelope. */
static void oscillate(const Tone *tone, double damping, double frequency, double factor_re, double factor_im,
                      const double *envelope, double *re, double *im) {
    double fine_re[BLOCK], fine_im[BLOCK];
    const double shrink = exp(-damping / tone->rate), angle = 2 * PI * frequency / tone->rate;
    const double step_re = shrink * cos(angle), step_im = shrink * sin(angle);
    fine_re[0] = 1;
    fine_im[0] = 0;
    for (int j = 1; j < BLOCK; j++) {
        fine_re[j] = fine_re[j - 1] * step_re - fine_im[j - 1] * step_im;
        fine_im[j] = fine_re[j - 1] * step_im + fine_im[j - 1] * step_re;
    }
    for (int64_t begin = 0; begin < tone->frames; begin += BLOCK) {
        const double t = tone->t0 + (double)begin / tone->rate, size = exp(-damping * t);
        const double c = size * cos(2 * PI * frequency * t), s = size * sin(2 * PI * frequency * t);
        const double a = c * factor_re - s * factor_im, b = c * factor_im + s * factor_re;
        const int64_t count = tone->frames - begin < BLOCK ? tone->frames - begin : BLOCK;
        for (int64_t j = 0; j < count; j++) {
            const double weight = envelope[begin + j];
            re[begin + j] = weight * (a * fine_re[j] - b * fine_im[j]);
            im[begin + j] = weight * (a * fine_im[j] + b * fine_re[j]);
        }
    }
}

/* As `Atoms.envelope`. */
static void shape(const evc_fitter *f, const Tone *tone, const evc_envelope *e, double *out) {
    const double decay = f->atoms->decay_times[e->decay], rise = f->atoms->rises[e->attack];
    const double length = f->atoms->length_times[e->length], closing = f->atoms->falls[e->length];
    double fine[BLOCK];
    fine[0] = 1;
    const double step = exp(-1 / (decay * tone->rate));
    for (int j = 1; j < BLOCK; j++) fine[j] = fine[j - 1] * step;
    for (int64_t begin = 0; begin < tone->frames; begin += BLOCK) {
        const double size = exp(-(tone->t0 + (double)begin / tone->rate) / decay);
        const int64_t count = tone->frames - begin < BLOCK ? tone->frames - begin : BLOCK;
        for (int64_t j = 0; j < count; j++) out[begin + j] = size * fine[j];
    }
    for (int64_t i = 0; i < tone->frames; i++) {
        const double t = tone->t0 + (double)i / tone->rate;
        if (t >= rise) break;
        const double value = sin(PI / 2 * t / rise);
        out[i] *= value * value;
    }
    for (int64_t i = tone->frames - 1; i >= 0; i--) {
        const double over = (tone->t0 + (double)i / tone->rate - length) / closing;
        if (over <= 0) break;
        out[i] *= 0.5 + 0.5 * cos(PI * fmin(over, 1));
    }
}

/* As `Weighting.at`. */
static double weight_at(const evc_fitter *f, double time, double frequency) {
    double bark = floor(26.81 * frequency / (1960 + frequency) - 0.53);
    bark = bark < 0 ? 0 : bark > BARKS - 1 ? BARKS - 1 : bark;
    double column = rint(time * f->rate / f->how->weighting_hop);
    column = column < 0 ? 0 : column > f->columns - 1 ? f->columns - 1 : column;
    return f->weights[(int64_t)bark * f->columns + (int64_t)column];
}

/* As `_solve`: the oscillator under its envelope lies in partial_re and partial_im. Level, pan and phase, and the gains
   of the channels. */
static bool solve(const evc_fitter *f, const Tone *tone, const double *part, int64_t stride, int32_t *level,
                  int32_t *pan, int64_t *phase, double *gains) {
    const int64_t n = tone->frames;
    const double *cosine = tone->partial_re, *turned = tone->partial_im; /* the sine is -turned */
    double cc = dot(cosine, cosine, n), cs = -dot(cosine, turned, n), ss = dot(turned, turned, n);
    const double trace = cc + ss;
    if (trace < 1e-9) return false;
    cc += 1e-6 * trace;
    ss += 1e-6 * trace;
    const double determinant = cc * ss - cs * cs;
    double a[2] = {0}, b[2] = {0};
    for (int32_t channel = 0; channel < f->channels; channel++) {
        const double c = dot(part + channel * stride, cosine, n), s = -dot(part + channel * stride, turned, n);
        a[channel] = (ss * c - cs * s) / determinant;
        b[channel] = (cc * s - cs * c) / determinant;
    }
    *pan = 0;
    gains[0] = 1;
    gains[1] = 0;
    if (f->channels == 2) {
        const double left = a[0] * a[0] + b[0] * b[0], right = a[1] * a[1] + b[1] * b[1];
        const double both = a[0] * a[1] + b[0] * b[1];
        double angle = 0.5 * atan2(2 * both, left - right); /* of the principal direction */
        if (both < 0) angle = left >= right ? 0 : PI / 2;   /* out of phase: the stronger side alone */
        const double steps = rint((angle / (PI / 4) - 1) * f->how->pan_steps);
        *pan = (int32_t)fmax(-f->how->pan_steps, fmin(f->how->pan_steps, steps));
        angle = ((double)*pan / f->how->pan_steps + 1) * PI / 4;
        gains[0] = cos(angle);
        gains[1] = sin(angle);
    }
    const double x = a[0] * gains[0] + a[1] * gains[1], y = b[0] * gains[0] + b[1] * gains[1];
    const double amplitude = hypot(x, y);
    if (amplitude < f->how->quietest) return false;
    const int64_t turn = (int64_t)rint(atan2(y, x) / (2 * PI) * f->how->phases);
    *phase = (turn % f->how->phases + f->how->phases) % f->how->phases;
    *level = (int32_t)rint(20 * log10(amplitude) / f->how->amplitude_step);
    return true;
}

/* As `harmonic_magnitudes`; returns the energy of the envelope in s. */
static double harmonic_magnitudes(const evc_fitter *f, const Tone *tone, double amplitude, double *magnitudes) {
    int64_t count = (int64_t)(f->how->beginning * tone->rate);
    if (count > tone->frames) count = tone->frames;
    if (count < f->how->least_frames) count = f->how->least_frames;
    double *shaped = tone->partial_re;
    for (int64_t i = 0; i < count; i++) shaped[i] = tone->left[i] * tone->envelope[i];
    double re[PARTIALS + 1] = {0}, im[PARTIALS + 1] = {0};
    for (int64_t i = 0; i < count; i++) {
        double x = tone->re[i], y = tone->im[i];
        for (int m = 2; m <= PARTIALS; m++) {
            const double next = x * tone->re[i] - y * tone->im[i];
            y = x * tone->im[i] + y * tone->re[i];
            x = next;
            re[m] += shaped[i] * x;
            im[m] += shaped[i] * y;
        }
    }
    const double energy = dot(tone->envelope, tone->envelope, count);
    for (int m = 2; m <= PARTIALS; m++) magnitudes[m] = 2 * hypot(re[m], im[m]) / energy / amplitude;
    return energy / tone->rate;
}

/* As `HarmonicFitter._resonator`: sets which partials can pay. */
static int32_t choose_resonator(const evc_fitter *f, const Tone *tone, double amplitude, double threshold,
                                bool *paying) {
    const evc_atoms *atoms = f->atoms;
    double magnitudes[PARTIALS + 1], weights[PARTIALS + 1] = {0}, most = -1;
    const double energy = harmonic_magnitudes(f, tone, amplitude, magnitudes) * amplitude * amplitude / 2;
    int32_t best = 0;
    for (int m = 2; m <= PARTIALS; m++)
        if (m * tone->frequency < f->how->highest * tone->rate) weights[m] = weight_at(f, tone->start, m * tone->frequency);
    for (int32_t row = 0; row < atoms->resonators; row++) {
        double worth = 0;
        bool pays[PARTIALS + 1] = {0};
        for (int m = 2; m <= PARTIALS; m++) {
            const double gain = atoms->gains[row * PARTIALS + m - 1];
            const double value = gain * (2 * magnitudes[m] - gain) * energy * weights[m] - f->how->partial_bits * threshold;
            pays[m] = weights[m] > 0 && value > 0;
            if (pays[m]) worth += value;
        }
        if (!atoms->harmonic[row]) worth = 0;
        if (worth > most) {
            most = worth;
            best = row;
            memcpy(paying, pays, sizeof pays);
        }
    }
    return best;
}

/* As `HarmonicFitter.add`: partials that pay join `wave`, and leave `left`; returns their bits. */
static double add_partials(const evc_fitter *f, Tone *tone, int64_t *codes, int32_t level, double threshold) {
    const evc_atoms *atoms = f->atoms;
    const double amplitude = pow(10, level * f->how->amplitude_step / 20);
    bool paying[PARTIALS + 1] = {0};
    const int32_t resonator = choose_resonator(f, tone, amplitude, threshold, paying);
    const double phase = 2 * PI * (double)codes[1] / f->how->phases, decay = atoms->decay_times[codes[3]];
    double bits = 0;
    for (int m = 2; m <= PARTIALS; m++) {
        if (!paying[m]) continue;
        const int32_t at = resonator * PARTIALS + m - 1;
        const double size = amplitude * atoms->gains[at], angle = m * phase + atoms->phases[at];
        oscillate(tone, (atoms->decay_factors[at] - 1) / decay, atoms->ratios[at] * tone->frequency, size * cos(angle),
                  size * sin(angle), tone->envelope, tone->partial_re, tone->partial_im);
        const double re = dot(tone->left, tone->partial_re, tone->frames);
        const double im = dot(tone->left, tone->partial_im, tone->frames);
        const double *multipliers = atoms->multipliers + (int64_t)2 * (m - 2) * atoms->multiplier_codes;
        int32_t best = 1;
        double most = -INFINITY;
        for (int32_t code = 1; code < atoms->multiplier_codes; code++) {
            const double matched = re * multipliers[2 * code] - im * multipliers[2 * code + 1];
            if (matched > most) {
                most = matched;
                best = code;
            }
        }
        const double x = multipliers[2 * best], y = multipliers[2 * best + 1];
        for (int64_t i = 0; i < tone->frames; i++)
            tone->partial_re[i] = x * tone->partial_re[i] - y * tone->partial_im[i];
        const double taken = (2 * most - dot(tone->partial_re, tone->partial_re, tone->frames)) / tone->rate;
        if (taken * weight_at(f, tone->start, m * tone->frequency) <= f->how->partial_bits * threshold) continue;
        codes[6 + m - 2] = best;
        for (int64_t i = 0; i < tone->frames; i++) {
            tone->left[i] -= tone->partial_re[i];
            tone->wave[i] += tone->partial_re[i];
        }
        bits += f->how->partial_bits;
    }
    if (bits > 0) codes[5] = resonator;
    return bits;
}

int32_t evc_fit(const evc_fitter *f, const double *residual, int64_t frames, int32_t pitch, double frequency,
                const evc_envelope *e, double threshold, evc_fitted *found, double *waveform) {
    const evc_atoms *atoms = f->atoms;
    Tone tone = {.rate = f->rate, .frequency = frequency, .start = e->start};
    const int64_t first = (int64_t)ceil(e->start * f->rate);
    const double duration = fmin(atoms->length_times[e->length] + atoms->falls[e->length],
                                 f->how->decayed * atoms->decay_times[e->decay]);
    tone.frames = (int64_t)(duration * f->rate);
    if (tone.frames > frames - first) tone.frames = frames - first;
    if (first < 0 || tone.frames < f->how->least_frames || tone.frames > f->scratch_length) return 0;
    double **rows[] = {&tone.mono, &tone.left, &tone.envelope, &tone.re, &tone.im, &tone.wave,
                       &tone.partial_re, &tone.partial_im};
    for (int i = 0; i < 8; i++) *rows[i] = f->scratch + i * f->scratch_length;
    tone.t0 = (double)first / f->rate - e->start;

    double *ones = tone.wave;
    for (int64_t i = 0; i < tone.frames; i++) ones[i] = 1;
    shape(f, &tone, e, tone.envelope);
    oscillate(&tone, 0, frequency, 1, 0, ones, tone.re, tone.im);
    for (int64_t i = 0; i < tone.frames; i++) {
        tone.partial_re[i] = tone.re[i] * tone.envelope[i];
        tone.partial_im[i] = tone.im[i] * tone.envelope[i];
    }
    const double *part = residual + first;
    double gains[2];
    *found = (evc_fitted){.envelope = *e, .first = first, .frames = tone.frames};
    found->codes[0] = pitch;
    if (!solve(f, &tone, part, frames, &found->level, &found->pan, &found->codes[1], gains)) return 0;
    found->codes[2] = e->attack;
    found->codes[3] = e->decay;
    found->codes[4] = e->length;

    const double amplitude = pow(10, found->level * f->how->amplitude_step / 20);
    const double angle = 2 * PI * (double)found->codes[1] / f->how->phases;
    const double re = amplitude * cos(angle), im = amplitude * sin(angle);
    for (int64_t i = 0; i < tone.frames; i++) {
        tone.wave[i] = re * tone.partial_re[i] - im * tone.partial_im[i];
        tone.mono[i] = gains[0] * part[i] + (f->channels == 2 ? gains[1] * part[frames + i] : 0);
        tone.left[i] = tone.mono[i] - tone.wave[i];
    }
    const double weight = weight_at(f, e->start, frequency);
    double taken = 2 * dot(tone.mono, tone.wave, tone.frames) - dot(tone.wave, tone.wave, tone.frames);
    if (taken * weight / f->rate < f->how->base_bits * threshold) return 0;
    const double bits = add_partials(f, &tone, found->codes, found->level, threshold);
    taken = dot(tone.mono, tone.mono, tone.frames) - dot(tone.left, tone.left, tone.frames);
    found->gain = taken / f->rate * weight / (f->how->base_bits + bits);
    for (int32_t channel = 0; channel < f->channels; channel++)
        for (int64_t i = 0; i < tone.frames; i++) waveform[channel * tone.frames + i] = gains[channel] * tone.wave[i];
    return 1;
}
