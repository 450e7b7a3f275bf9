#include "textflag.h"

// func loadLines(lines *Line, at *uint32, n int)
TEXT ·loadLines(SB), NOSPLIT, $0-24
	MOVQ lines+0(FP), AX
	MOVQ at+8(FP), BX
	MOVQ n+16(FP), CX
	JMP  check

next:
	MOVL       (BX), DX
	SHLQ       $6, DX
	PREFETCHT0 (AX)(DX*1)
	ADDQ       $4, BX
	DECQ       CX

check:
	TESTQ CX, CX
	JNE   next
	RET
