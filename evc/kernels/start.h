/* The tables of each file that has some: made once, by evc_start. */
#pragma once

void evc_start_port(void);         /* port.c */
void evc_start_coefficients(void); /* coefficients.c */
void evc_start_spectra(void);      /* spectra.c */
