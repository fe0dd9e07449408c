/* Functions that are compiled for AVX2 besides the baseline, where a compiler can do both, so that their loops become
   wider vectors. One switch chooses when they are called: evc_widen. Neither variant fuses or reorders operations, so
   results are the same. */
#pragma once
#include "port.h"

#if defined(__x86_64__) && defined(__GNUC__)
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

extern bool evc_wider; /* whether WIDER functions are to run: the processor has what they need */

/* The function evc_NAME, from the body NAME, which is INLINE like all of what it calls that has loops. */
#define VARIANTS(NAME, PARAMETERS, ARGUMENTS) VARIANTS_OF(void, , NAME, PARAMETERS, ARGUMENTS)

/* The same of a body that has a result. */
#define VARIANTS_WITH_RESULT(TYPE, NAME, PARAMETERS, ARGUMENTS) VARIANTS_OF(TYPE, return, NAME, PARAMETERS, ARGUMENTS)

#define VARIANTS_OF(TYPE, RETURN, NAME, PARAMETERS, ARGUMENTS)                                                        \
    static TYPE NAME##_narrow PARAMETERS { RETURN NAME ARGUMENTS; }                                                   \
    WIDER static TYPE NAME##_wide PARAMETERS { RETURN NAME ARGUMENTS; }                                               \
    TYPE evc_##NAME PARAMETERS {                                                                                      \
        if (evc_wider) RETURN NAME##_wide ARGUMENTS;                                                                  \
        else RETURN NAME##_narrow ARGUMENTS;                                                                          \
    }
