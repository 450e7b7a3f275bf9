#include "textflag.h"

// func loadBuckets(lines *Line, beside uint32, at *uint32, n int)
TEXT ·loadBuckets(SB), NOSPLIT, $0-32
	MOVD  lines+0(FP), R0
	MOVWU beside+8(FP), R5
	MOVD  at+16(FP), R1
	MOVD  n+24(FP), R2
	CBNZ  R5, checkBeside
	B     check

next: // bucket b is two lines from 2b on
	MOVWU.P 4(R1), R3
	ADD     R3<<7, R0, R4
	PRFM    (R4), PLDL1KEEP
	PRFM    64(R4), PLDL1KEEP
	SUB     $1, R2

check:
	CBNZ R2, next
	RET

nextBeside: // three lines from 3b on
	MOVWU.P 4(R1), R3
	ADD     R3<<1, R3, R3
	ADD     R3<<6, R0, R4
	PRFM    (R4), PLDL1KEEP
	PRFM    64(R4), PLDL1KEEP
	PRFM    128(R4), PLDL1KEEP
	SUB     $1, R2

checkBeside:
	CBNZ R2, nextBeside
	RET
