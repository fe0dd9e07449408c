/* Loops over samples that the compiler turns into vectors: for AVX2 besides the baseline, where it can do both. What
   happens to a number is the same, so are the results. */
#pragma once
#include "port.h"

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__)
#define CHOICE
#define WIDER __attribute__((target("avx2")))
#else
#define WIDER
#endif

/* Before a loop no turn of which touches what another does. */
#if defined(__clang__)
#define INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define INDEPENDENT _Pragma("GCC ivdep")
#elif defined(_MSC_VER)
#define INDEPENDENT __pragma(loop(ivdep))
#else
#define INDEPENDENT
#endif

/* Before a short loop that is to become vectors instead of being unrolled. */
#if defined(__GNUC__) && !defined(__clang__)
#define LANEWISE _Pragma("GCC unroll 1")
#else
#define LANEWISE
#endif

extern bool evc_wider; /* whether the processor has what WIDER functions need */
extern double evc_octave[EVC_OCTAVE]; /* powers of two, of log units */
void evc_prepare_sound(void);

/* The function evc_NAME, from the body NAME, which is INLINE like all that it calls. */
#define VARIANTS(NAME, PARAMETERS, ARGUMENTS)                                                                         \
    static void NAME##_narrow PARAMETERS { NAME ARGUMENTS; }                                                          \
    WIDER static void NAME##_wide PARAMETERS { NAME ARGUMENTS; }                                                      \
    void evc_##NAME PARAMETERS {                                                                                      \
        if (evc_wider) NAME##_wide ARGUMENTS;                                                                         \
        else NAME##_narrow ARGUMENTS;                                                                                 \
    }
