/* The program that benchmarks start: its first instructions ask for the time; then it prints the
   nanoseconds since 1970 and ends. With any argument it stays. No C library: nothing runs before. */
.globl _start
_start:
    mov (%rsp), %r12          /* argc */
    sub $64, %rsp
    mov $228, %eax            /* clock_gettime(CLOCK_REALTIME, rsp) */
    xor %edi, %edi
    mov %rsp, %rsi
    syscall
    mov (%rsp), %rax
    imul $1000000000, %rax, %rax
    add 8(%rsp), %rax
    lea 63(%rsp), %rsi
    movb $10, (%rsi)
    mov $10, %ecx
    mov $1, %r8d
digit:
    xor %edx, %edx
    div %rcx
    add $48, %edx
    dec %rsi
    mov %dl, (%rsi)
    inc %r8d
    test %rax, %rax
    jnz digit
    mov $1, %eax              /* write(1, rsi, r8) */
    mov $1, %edi
    mov %r8d, %edx
    syscall
    cmp $1, %r12
    ja stay
    mov $231, %eax            /* exit_group(0) */
    xor %edi, %edi
    syscall
stay:
    mov $34, %eax             /* pause() */
    syscall
    jmp stay
