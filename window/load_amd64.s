#include "textflag.h"

// func loadBuckets(lines *Line, beside uint32, at *uint32, n int)
TEXT ·loadBuckets(SB), NOSPLIT, $0-32
	MOVQ lines+0(FP), AX
	MOVL beside+8(FP), SI
	MOVQ at+16(FP), BX
	MOVQ n+24(FP), CX
	TESTL SI, SI
	JNE  checkBeside
	JMP  check

next: // bucket b is two lines from 2b on
	MOVL       (BX), DX
	SHLQ       $7, DX
	PREFETCHT0 (AX)(DX*1)
	PREFETCHT0 64(AX)(DX*1)
	ADDQ       $4, BX
	DECQ       CX

check:
	TESTQ CX, CX
	JNE   next
	RET

nextBeside: // three lines from 3b on
	MOVL       (BX), DX
	LEAQ       (DX)(DX*2), DX
	SHLQ       $6, DX
	PREFETCHT0 (AX)(DX*1)
	PREFETCHT0 64(AX)(DX*1)
	PREFETCHT0 128(AX)(DX*1)
	ADDQ       $4, BX
	DECQ       CX

checkBeside:
	TESTQ CX, CX
	JNE   nextBeside
	RET
