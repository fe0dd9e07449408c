/* Functions that are compiled twice, for AVX2 and the baseline, where the linker can choose when it loads them. Neither
   fuses nor reorders operations: results are the same. */
#pragma once

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define CLONED __attribute__((target_clones("avx2", "default")))
#else
#define CLONED
#endif
