/* Start, attack, decay and length of an event: as `EventFitter._refined` in models/events/fitting.py.

   Under an exponential decay, the correlation of points with an envelope between its rise and its fall is the
   difference of two sums of the whole future, which one pass gives for every start. */
#include "events.h"
#include "floats.h"
#include "variants.h"

enum { COMPONENTS = 4, RESYNCHRONISED = 64, LANES = 16 };

/* The demodulated residual: real and imaginary parts of each channel, `first` and `step` in s; and what the sums of
   the future under one decay are. */
typedef struct {
    int64_t count;
    int32_t components;
    double first, step;
    double *values[COMPONENTS], *future[COMPONENTS];
} Points;

typedef struct {
    double taken;
    evc_envelope envelope;
} Candidate;

/* Of LANES numbers, in pairs. */
INLINE double sum(const double *x) {
    double halves[8], quarters[4];
    for (int j = 0; j < 8; j++) halves[j] = x[j] + x[j + 8];
    for (int j = 0; j < 4; j++) quarters[j] = halves[j] + halves[j + 4];
    return (quarters[0] + quarters[2]) + (quarters[1] + quarters[3]);
}

INLINE void demodulate(const evc_fitter *f, const double *residual, int64_t frames, double cycles,
                       int64_t origin, Points *points) {
    const int32_t hop = f->how->hop;
    double cosine[64], sine[64], turn_re = 1, turn_im = 0;
    for (int32_t j = 0; j < hop; j++) {
        cosine[j] = cos(2 * PI * cycles * j);
        sine[j] = -sin(2 * PI * cycles * j);
    }
    const double step_re = cos(2 * PI * cycles * hop), step_im = -sin(2 * PI * cycles * hop);
    for (int64_t p = 0; p < points->count; p++) {
        if (p % RESYNCHRONISED == 0) {
            turn_re = cos(2 * PI * cycles * (double)(hop * p));
            turn_im = -sin(2 * PI * cycles * (double)(hop * p));
        }
        const int64_t at = origin + p * hop;
        const int64_t low = at < 0 ? -at : 0, high = at + hop > frames ? frames - at : hop;
        for (int32_t channel = 0; channel < f->channels; channel++) {
            const double *samples = residual + channel * frames + at;
            double re = 0, im = 0;
            if (high - low == LANES) {
                double products[2][LANES];
                for (int j = 0; j < LANES; j++) {
                    products[0][j] = samples[j] * cosine[j];
                    products[1][j] = samples[j] * sine[j];
                }
                re = sum(products[0]);
                im = sum(products[1]);
            } else {
                for (int64_t j = low; j < high; j++) {
                    re += samples[j] * cosine[j];
                    im += samples[j] * sine[j];
                }
            }
            points->values[2 * channel][p] = re * turn_re - im * turn_im;
            points->values[2 * channel + 1][p] = re * turn_im + im * turn_re;
        }
        const double re = turn_re * step_re - turn_im * step_im;
        turn_im = turn_re * step_im + turn_im * step_re;
        turn_re = re;
    }
}

/* future[p] = sum of values[k] exp(-(k - p) step / decay) over k from p on, to `count`. */
INLINE void look_ahead(Points *points, int64_t count, double decay) {
    const double fall = exp(-points->step / decay);
    double sums[COMPONENTS] = {0};
    for (int32_t i = 0; i < points->components; i++) points->future[i][count] = 0;
    for (int64_t p = count - 1; p >= 0; p--)
        for (int32_t i = 0; i < points->components; i++)
            points->future[i][p] = sums[i] = points->values[i][p] + fall * sums[i];
}

/* Largest |projection|^2 over phase and pan. */
static double projected(const double *sums, int32_t components) {
    const double a = sums[0] * sums[0] + sums[1] * sums[1];
    if (components == 2) return a;
    const double b = sums[2] * sums[2] + sums[3] * sums[3], cross = sums[0] * sums[2] + sums[1] * sums[3];
    const double half = (a - b) / 2;
    return (a + b) / 2 + sqrt(half * half + cross * cross);
}

static int64_t point_from(const Points *points, double seconds, int64_t count) {
    double at = ceil((seconds - points->first) / points->step);
    return at < 0 ? 0 : at > (double)count ? count : (int64_t)at;
}

/* Adds points [low, high) under scale * fall^n (1 - cos(angle)) / 2 to the sums, where the angle moves on by `turn`,
   and the square of this to `energy`. */
static void add_slope(const Points *points, int64_t low, int64_t high, double scale, double fall, double angle,
                      double turn, double *sums, double *energy) {
    double re = cos(angle), im = sin(angle);
    const double turn_re = cos(turn), turn_im = sin(turn);
    for (int64_t p = low; p < high; p++) {
        const double weight = scale * (0.5 - 0.5 * re);
        for (int32_t i = 0; i < points->components; i++) sums[i] += weight * points->values[i][p];
        *energy += weight * weight;
        const double next = re * turn_re - im * turn_im;
        im = re * turn_im + im * turn_re;
        re = next;
        scale *= fall;
    }
}

/* Energy that an atom takes away of the first `count` points, whose future under its decay is known; up to a common
   factor. */
static double taken(const evc_fitter *f, const Points *points, int64_t count, const evc_envelope *e) {
    const evc_atoms *atoms = f->atoms;
    const double rise = atoms->rises[e->attack], decay = atoms->decay_times[e->decay];
    const double length = atoms->length_times[e->length], closing = atoms->falls[e->length];
    const double fall = exp(-points->step / decay);
    const int64_t begin = point_from(points, e->start, count), risen = point_from(points, e->start + rise, count);
    int64_t open = point_from(points, e->start + length, count);
    int64_t end = point_from(points, e->start + length + closing, count);
    if (open < risen) open = risen;
    if (end < open) end = open;
    double sums[COMPONENTS] = {0}, energy = 0;
    double t = points->first + (double)begin * points->step - e->start;
    add_slope(points, begin, risen, exp(-t / decay), fall, PI * t / rise, PI * points->step / rise, sums, &energy);
    t = points->first + (double)risen * points->step - e->start;
    if (open > risen) {
        const double scale = exp(-t / decay), left = exp(-(double)(open - risen) * points->step / decay);
        for (int32_t i = 0; i < points->components; i++)
            sums[i] += scale * (points->future[i][risen] - left * points->future[i][open]);
        energy += scale * scale * (1 - left * left) / (1 - fall * fall);
    }
    t = points->first + (double)open * points->step - e->start;
    add_slope(points, open, end, exp(-t / decay), fall, PI * ((t - length) / closing + 1),
              PI * points->step / closing, sums, &energy);
    return projected(sums, points->components) / fmax(energy, 1e-12);
}

/* As `Moments.worth`. */
static double worth(const evc_fitter *f, double start) {
    const double *onsets = f->onsets;
    if (!f->onset_count) return 0;
    int32_t low = 0, high = f->onset_count;
    while (low < high) {
        int32_t middle = (low + high) / 2;
        if (onsets[middle] < start) low = middle + 1;
        else high = middle;
    }
    int32_t nearest = low < f->onset_count ? low : f->onset_count - 1;
    if (low > 0 && fabs(start - onsets[low - 1]) <= fabs(start - onsets[nearest])) nearest = low - 1;
    if (fabs(start - onsets[nearest]) >= f->how->tolerance) return 0;
    return fabs(start - f->moments[nearest]) < 1e-9 ? f->how->shared : 1;
}

/* Tries `count` starts of an attack on the grid, ascending from `first` by `step`. */
static void try_starts(const evc_fitter *f, const Points *points, int64_t count, evc_envelope tried, double first,
                       double step, int32_t starts, Candidate *best) {
    double before = -1;
    for (int32_t i = 0; i < starts; i++) {
        tried.start = fmax(rint((first + i * step) / f->grid), 0) * f->grid;
        if (tried.start == before) continue;
        before = tried.start;
        const double factor = tried.attack < f->how->quick ? worth(f, tried.start) : 1;
        const double found = factor > 0 ? factor * taken(f, points, count, &tried) : 0;
        if (found > best->taken) *best = (Candidate){found, tried};
    }
}

/* Attacks that are over before an event of this length is. */
static bool permitted(const evc_fitter *f, int32_t attack, int32_t length) {
    return f->atoms->rises[attack] < f->how->longest_rise * f->atoms->length_times[length];
}

/* All attacks, at starts around that of a shape found with a quick one: a slow rise begins before it. */
static Candidate first_look(const evc_fitter *f, const Points *points, int64_t count, const evc_envelope *shape,
                            double uncertainty) {
    Candidate best = {0, *shape};
    for (int32_t attack = 0; attack < f->atoms->attacks; attack++) {
        if (!permitted(f, attack, shape->length)) continue;
        const double rise = f->atoms->rises[attack], spread = uncertainty + 0.004;
        evc_envelope tried = {0, attack, shape->decay, shape->length};
        if (rise < f->how->slow_rise)
            try_starts(f, points, count, tried, shape->start - spread, f->grid, (int32_t)ceil(2 * spread / f->grid),
                       &best);
        else
            try_starts(f, points, count, tried, shape->start - 4 * f->how->slow_step * rise,
                       f->how->slow_step * rise, 6, &best);
    }
    return best;
}

/* Decay and length among those next to the shape's. */
INLINE evc_envelope with_body(const evc_fitter *f, Points *points, const evc_envelope *envelope) {
    const evc_atoms *atoms = f->atoms;
    Candidate best = {-1, *envelope};
    for (int32_t decay = envelope->decay - 1; decay <= envelope->decay + 1; decay++) {
        if (decay < 0 || decay >= atoms->decays) continue;
        look_ahead(points, points->count, atoms->decay_times[decay]);
        for (int32_t length = envelope->length - 1; length <= envelope->length + 1; length++) {
            if (length < 0 || length >= atoms->lengths || !permitted(f, envelope->attack, length)) continue;
            const evc_envelope tried = {envelope->start, envelope->attack, decay, length};
            const double found = taken(f, points, points->count, &tried);
            if (found > best.taken) best = (Candidate){found, tried};
        }
    }
    return best.envelope;
}

/* Starts around one that is nearly right, with attacks next to its own. */
static Candidate second_look(const evc_fitter *f, const Points *points, int64_t count, const evc_envelope *near) {
    Candidate best = {-1, *near};
    for (int32_t attack = near->attack - 1; attack <= near->attack + 1; attack++) {
        if (attack < 0 || attack >= f->atoms->attacks || !permitted(f, attack, near->length)) continue;
        const double spread = fmax(2 * f->grid, f->how->slow_step * f->atoms->rises[attack]);
        const evc_envelope tried = {0, attack, near->decay, near->length};
        try_starts(f, points, count, tried, near->start - spread, spread / 8, 17, &best);
    }
    return best;
}

INLINE int32_t refine(const evc_fitter *f, const double *residual, int64_t frames, double frequency, double uncertainty,
                      evc_envelope *envelope) {
    const evc_atoms *atoms = f->atoms;
    double slowest = 0;
    for (int32_t i = 0; i < atoms->attacks; i++) slowest = fmax(slowest, atoms->rises[i]);
    const double lead = uncertainty + 0.004 + 0.5 * slowest;
    const int64_t origin = (int64_t)((envelope->start - lead) * f->rate);
    const double duration = fmin(atoms->length_times[envelope->length] + atoms->falls[envelope->length],
                                 f->how->decayed * atoms->decay_times[envelope->decay]);
    Points points = {.components = 2 * f->channels, .step = f->how->hop / f->rate};
    points.count = (int64_t)((lead + fmin(duration, f->how->longest_body)) * f->rate / f->how->hop) + 1;
    if (f->how->hop > 64 || points.count + 1 > f->scratch_length) return 0;
    points.first = ((double)origin + (f->how->hop - 1) / 2.0) / f->rate;
    for (int32_t i = 0; i < points.components; i++) {
        points.values[i] = f->scratch + i * f->scratch_length;
        points.future[i] = f->scratch + (COMPONENTS + i) * f->scratch_length;
    }
    int64_t early = (int64_t)((lead + f->how->attack_span) * f->rate / f->how->hop);
    if (early > points.count) early = points.count;

    demodulate(f, residual, frames, frequency / f->rate, origin, &points);
    look_ahead(&points, early, atoms->decay_times[envelope->decay]);
    Candidate found = first_look(f, &points, early, envelope, uncertainty);
    if (found.taken <= 0) return 0;
    const evc_envelope body = with_body(f, &points, &found.envelope);
    look_ahead(&points, early, atoms->decay_times[body.decay]);
    *envelope = second_look(f, &points, early, &body).envelope;
    return 1;
}

VARIANTS_WITH_RESULT(int32_t, refine,
                     (const evc_fitter *f, const double *residual, int64_t frames, double frequency,
                      double uncertainty, evc_envelope *envelope),
                     (f, residual, frames, frequency, uncertainty, envelope))
