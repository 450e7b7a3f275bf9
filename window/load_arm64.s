#include "textflag.h"

// func loadLines(lines *Line, at *uint32, n int)
TEXT ·loadLines(SB), NOSPLIT, $0-24
	MOVD lines+0(FP), R0
	MOVD at+8(FP), R1
	MOVD n+16(FP), R2
	B    check

next:
	MOVWU.P 4(R1), R3
	ADD     R3<<6, R0, R4
	PRFM    (R4), PLDL1KEEP
	SUB     $1, R2

check:
	CBNZ R2, next
	RET
