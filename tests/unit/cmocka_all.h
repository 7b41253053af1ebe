/* cmocka wants these in front of it. */
#ifndef CASEMENT_TESTS_CMOCKA_ALL_H
#define CASEMENT_TESTS_CMOCKA_ALL_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#endif
