/* Phase, amplitude, pan and partials of an event of known pitch and envelope: as `EventFitter.fit_at` in
   models/events/fitting.py, and harmonics.py. */
#include "events.h"
#include "floats.h"
#include "variants.h"

enum { BLOCK = 256, PARTIALS = 8, BARKS = 25, LANES = 16 };

/* An event at the frames where it sounds: the residual through its pan, what is left of it, the envelope, and an
   oscillator under that. */
typedef struct {
    int64_t frames;
    double t0, rate, frequency, start;
    double *mono, *left, *envelope, *re, *im;
} Tone;

/* Sums of products: of an oscillator with itself, and with signals. */
typedef struct {
    double cc, cs, ss, c[2], s[2];
} Products;

INLINE double dot(const double *a, const double *b, int64_t count) {
    double sums[LANES] = {0}, total = 0;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
        for (int j = 0; j < LANES; j++) sums[j] += a[i + j] * b[i + j];
    for (; i < count; i++) total += a[i] * b[i];
    for (int j = 0; j < LANES; j++) total += sums[j];
    return total;
}

/* exp((-damping + 2 pi i frequency) t) for `frames` moments from t0 on, times a complex factor and the envelope, to
   tone->re and im; its products with itself and with `count` signals that lie `stride` apart. Block by block, so that
   what is multiplied is at hand. */
INLINE void oscillate(const Tone *tone, double damping, double frequency, double factor_re, double factor_im,
                      const double *signals, int64_t stride, int32_t count, Products *products) {
    double fine_re[BLOCK], fine_im[BLOCK];
    const double shrink = exp(-damping / tone->rate), angle = 2 * PI * frequency / tone->rate;
    const double step_re = shrink * cos(angle), step_im = shrink * sin(angle);
    fine_re[0] = 1;
    fine_im[0] = 0;
    for (int j = 1; j < BLOCK; j++) {
        fine_re[j] = fine_re[j - 1] * step_re - fine_im[j - 1] * step_im;
        fine_im[j] = fine_re[j - 1] * step_im + fine_im[j - 1] * step_re;
    }
    *products = (Products){0};
    for (int64_t begin = 0; begin < tone->frames; begin += BLOCK) {
        const double t = tone->t0 + (double)begin / tone->rate, size = exp(-damping * t);
        const double c = size * cos(2 * PI * frequency * t), s = size * sin(2 * PI * frequency * t);
        const double a = c * factor_re - s * factor_im, b = c * factor_im + s * factor_re;
        const int64_t some = tone->frames - begin < BLOCK ? tone->frames - begin : BLOCK;
        const double *envelope = tone->envelope + begin;
        double *re = tone->re + begin, *im = tone->im + begin;
        for (int64_t j = 0; j < some; j++) {
            re[j] = envelope[j] * (a * fine_re[j] - b * fine_im[j]);
            im[j] = envelope[j] * (a * fine_im[j] + b * fine_re[j]);
        }
        products->cc += dot(re, re, some);
        products->cs += dot(re, im, some);
        products->ss += dot(im, im, some);
        for (int32_t i = 0; i < count; i++) {
            products->c[i] += dot(signals + i * stride + begin, re, some);
            products->s[i] += dot(signals + i * stride + begin, im, some);
        }
    }
}

/* As `Atoms.envelope`. */
INLINE void shape(const evc_fitter *f, const Tone *tone, const evc_envelope *e, double *out) {
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

/* As `_solve`: level, pan and phase, and the gains of the channels. */
static bool solve(const evc_fitter *f, const Products *products, int32_t *level, int32_t *pan, int64_t *phase,
                  double *gains) {
    double cc = products->cc, ss = products->ss;
    const double cs = -products->cs, trace = cc + ss; /* the sine is -im */
    if (trace < 1e-9) return false;
    cc += 1e-6 * trace;
    ss += 1e-6 * trace;
    const double determinant = cc * ss - cs * cs;
    double a[2] = {0}, b[2] = {0};
    for (int32_t channel = 0; channel < f->channels; channel++) {
        const double c = products->c[channel], s = -products->s[channel];
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
INLINE double harmonic_magnitudes(const evc_fitter *f, const Tone *tone, double amplitude, double *magnitudes) {
    int64_t count = (int64_t)(f->how->beginning * tone->rate);
    if (count > tone->frames) count = tone->frames;
    if (count < f->how->least_frames) count = f->how->least_frames;
    double re[PARTIALS + 1] = {0}, im[PARTIALS + 1] = {0};
    const double angle = 2 * PI * tone->frequency / tone->rate;
    for (int64_t begin = 0; begin < count; begin += BLOCK) {
        double shaped[BLOCK], cosine[BLOCK], sine[BLOCK], x[BLOCK], y[BLOCK];
        const int64_t some = count - begin < BLOCK ? count - begin : BLOCK;
        const double first = 2 * PI * tone->frequency * (tone->t0 + (double)begin / tone->rate);
        const double turn_re = cos(angle), turn_im = sin(angle);
        cosine[0] = cos(first);
        sine[0] = sin(first);
        for (int64_t i = 1; i < some; i++) {
            cosine[i] = cosine[i - 1] * turn_re - sine[i - 1] * turn_im;
            sine[i] = cosine[i - 1] * turn_im + sine[i - 1] * turn_re;
        }
        for (int64_t i = 0; i < some; i++) {
            shaped[i] = tone->left[begin + i] * tone->envelope[begin + i];
            x[i] = cosine[i];
            y[i] = sine[i];
        }
        for (int m = 2; m <= PARTIALS; m++) {
            for (int64_t i = 0; i < some; i++) {
                const double next = x[i] * cosine[i] - y[i] * sine[i];
                y[i] = x[i] * sine[i] + y[i] * cosine[i];
                x[i] = next;
            }
            re[m] += dot(shaped, x, some);
            im[m] += dot(shaped, y, some);
        }
    }
    const double energy = dot(tone->envelope, tone->envelope, count);
    for (int m = 2; m <= PARTIALS; m++) magnitudes[m] = 2 * hypot(re[m], im[m]) / energy / amplitude;
    return energy / tone->rate;
}

/* As `HarmonicFitter._resonator`: sets which partials can pay. */
INLINE int32_t choose_resonator(const evc_fitter *f, const Tone *tone, double amplitude, double threshold,
                                bool *paying) {
    const evc_atoms *atoms = f->atoms;
    double magnitudes[PARTIALS + 1], weights[PARTIALS + 1] = {0}, most = -1;
    const double energy = harmonic_magnitudes(f, tone, amplitude, magnitudes) * amplitude * amplitude / 2;
    int32_t best = 0;
    for (int m = 2; m <= PARTIALS; m++)
        if (m * tone->frequency < f->how->highest * tone->rate)
            weights[m] = weight_at(f, tone->start, m * tone->frequency);
    for (int32_t row = 0; row < atoms->resonators; row++) {
        double worth = 0;
        bool pays[PARTIALS + 1] = {0};
        for (int m = 2; m <= PARTIALS; m++) {
            const double gain = atoms->gains[row * PARTIALS + m - 1];
            const double value =
                gain * (2 * magnitudes[m] - gain) * energy * weights[m] - f->how->partial_bits * threshold;
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

/* As `HarmonicFitter.add`: partials that pay are taken from tone->left; returns their bits. */
INLINE double add_partials(const evc_fitter *f, Tone *tone, int64_t *codes, int32_t level, double threshold) {
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
        Products p;
        oscillate(tone, (atoms->decay_factors[at] - 1) / decay, atoms->ratios[at] * tone->frequency, size * cos(angle),
                  size * sin(angle), tone->left, 0, 1, &p);
        const double *multipliers = atoms->multipliers + (int64_t)2 * (m - 2) * atoms->multiplier_codes;
        int32_t best = 1;
        double most = -INFINITY;
        for (int32_t code = 1; code < atoms->multiplier_codes; code++) {
            const double matched = p.c[0] * multipliers[2 * code] - p.s[0] * multipliers[2 * code + 1];
            if (matched > most) {
                most = matched;
                best = code;
            }
        }
        const double x = multipliers[2 * best], y = multipliers[2 * best + 1];
        const double energy = x * x * p.cc - 2 * x * y * p.cs + y * y * p.ss;
        const double taken = (2 * most - energy) / tone->rate;
        if (taken * weight_at(f, tone->start, m * tone->frequency) <= f->how->partial_bits * threshold) continue;
        codes[6 + m - 2] = best;
        for (int64_t i = 0; i < tone->frames; i++) tone->left[i] -= x * tone->re[i] - y * tone->im[i];
        bits += f->how->partial_bits;
    }
    if (bits > 0) codes[5] = resonator;
    return bits;
}

/* Takes an oscillation of a level and a phase from the residual through its pan; returns the energy taken away. */
INLINE double subtract(const evc_fitter *f, Tone *tone, const evc_fitted *found, const double *part,
                       int64_t stride, const double *gains) {
    const double amplitude = pow(10, found->level * f->how->amplitude_step / 20);
    const double angle = 2 * PI * (double)found->codes[1] / f->how->phases;
    const double re = amplitude * cos(angle), im = amplitude * sin(angle);
    const double *other = part + (f->channels - 1) * stride;
    double taken = 0;
    for (int64_t begin = 0; begin < tone->frames; begin += BLOCK) {
        const int64_t end = tone->frames - begin < BLOCK ? tone->frames : begin + BLOCK;
        double doubled[BLOCK], wave[BLOCK];
        for (int64_t i = begin; i < end; i++) {
            const double mono = gains[0] * part[i] + gains[1] * other[i];
            wave[i - begin] = re * tone->re[i] - im * tone->im[i];
            doubled[i - begin] = 2 * mono - wave[i - begin];
            tone->mono[i] = mono;
            tone->left[i] = mono - wave[i - begin];
        }
        taken += dot(doubled, wave, end - begin);
    }
    return taken;
}

INLINE int32_t fit(const evc_fitter *f, const double *residual, int64_t frames, int32_t pitch, double frequency,
                   const evc_envelope *e, double threshold, evc_fitted *found, double *waveform) {
    const evc_atoms *atoms = f->atoms;
    Tone tone = {.rate = f->rate, .frequency = frequency, .start = e->start};
    const int64_t first = (int64_t)ceil(e->start * f->rate);
    const double duration = fmin(atoms->length_times[e->length] + atoms->falls[e->length],
                                 f->how->decayed * atoms->decay_times[e->decay]);
    tone.frames = (int64_t)(duration * f->rate);
    if (tone.frames > frames - first) tone.frames = frames - first;
    if (first < 0 || tone.frames < f->how->least_frames || tone.frames > f->scratch_length) return 0;
    double **rows[] = {&tone.mono, &tone.left, &tone.envelope, &tone.re, &tone.im};
    for (int i = 0; i < 5; i++) *rows[i] = f->scratch + i * f->scratch_length;
    tone.t0 = (double)first / f->rate - e->start;

    const double *part = residual + first;
    double gains[2];
    Products products;
    shape(f, &tone, e, tone.envelope);
    oscillate(&tone, 0, frequency, 1, 0, part, frames, f->channels, &products);
    *found = (evc_fitted){.envelope = *e, .first = first, .frames = tone.frames};
    found->codes[0] = pitch;
    if (!solve(f, &products, &found->level, &found->pan, &found->codes[1], gains)) return 0;
    found->codes[2] = e->attack;
    found->codes[3] = e->decay;
    found->codes[4] = e->length;

    const double weight = weight_at(f, e->start, frequency);
    if (subtract(f, &tone, found, part, frames, gains) * weight / f->rate < f->how->base_bits * threshold) return 0;
    const double bits = add_partials(f, &tone, found->codes, found->level, threshold);
    const double taken = dot(tone.mono, tone.mono, tone.frames) - dot(tone.left, tone.left, tone.frames);
    found->gain = taken / f->rate * weight / (f->how->base_bits + bits);
    for (int32_t channel = 0; channel < f->channels; channel++)
        for (int64_t i = 0; i < tone.frames; i++)
            waveform[channel * tone.frames + i] = gains[channel] * (tone.mono[i] - tone.left[i]);
    return 1;
}

VARIANTS_WITH_RESULT(int32_t, fit,
                     (const evc_fitter *f, const double *residual, int64_t frames, int32_t pitch, double frequency,
                      const evc_envelope *e, double threshold, evc_fitted *found, double *waveform),
                     (f, residual, frames, pitch, frequency, e, threshold, found, waveform))
