#include "textflag.h"

// func loadLines(lines *Line, beside uint32, at *uint32, n int)
TEXT ·loadLines(SB), NOSPLIT, $0-32
	MOVD  lines+0(FP), R0
	MOVWU beside+8(FP), R5
	MOVD  at+16(FP), R1
	MOVD  n+24(FP), R2
	CBNZ  R5, checkBoth
	B     check

next:
	MOVWU.P 4(R1), R3
	ADD     R3<<6, R0, R4
	PRFM    (R4), PLDL1KEEP
	SUB     $1, R2

check:
	CBNZ R2, next
	RET

nextBoth: // line l is at l + l/2, and the words at 3(l/2) + 2
	MOVWU.P 4(R1), R3
	LSR     $1, R3, R5
	ADD     R5, R3, R3
	ADD     R3<<6, R0, R4
	PRFM    (R4), PLDL1KEEP
	ADD     R5<<1, R5, R5
	ADD     $2, R5, R5
	ADD     R5<<6, R0, R4
	PRFM    (R4), PLDL1KEEP
	SUB     $1, R2

checkBoth:
	CBNZ R2, nextBoth
	RET
