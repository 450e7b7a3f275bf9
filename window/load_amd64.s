#include "textflag.h"

// func loadLines(lines *Line, beside uint32, at *uint32, n int)
TEXT ·loadLines(SB), NOSPLIT, $0-32
	MOVQ lines+0(FP), AX
	MOVL beside+8(FP), SI
	MOVQ at+16(FP), BX
	MOVQ n+24(FP), CX
	TESTL SI, SI
	JNE  checkBoth
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

nextBoth: // line l is at l + l/2, and the words at 3(l/2) + 2
	MOVL       (BX), DX
	MOVQ       DX, DI
	SHRQ       $1, DI
	ADDQ       DI, DX
	SHLQ       $6, DX
	PREFETCHT0 (AX)(DX*1)
	LEAQ       2(DI)(DI*2), DI
	SHLQ       $6, DI
	PREFETCHT0 (AX)(DI*1)
	ADDQ       $4, BX
	DECQ       CX

checkBoth:
	TESTQ CX, CX
	JNE   nextBoth
	RET
