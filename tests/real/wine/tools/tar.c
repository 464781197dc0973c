/* A stand-in of Windows' own tar.exe (bsdtar) for lab hosts on Wine, which has none.
 *
 * Understands what probes' files need and nothing else: `tar.exe -xmf -`, one ustar archive on standard input,
 * plain files into the current directory. Anything else is refused, so a test cannot pass by luck.
 */
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 512

static int refuse(const char *why)
{
    fprintf(stderr, "tar.exe: %s\r\n", why);
    return 1;
}

static int sum_is_right(const unsigned char *head)
{
    unsigned long sum = 0;
    int at;

    for (at = 0; at < BLOCK; at++)
        sum += at >= 148 && at < 156 ? ' ' : head[at];
    return sum == strtoul((const char *)head + 148, NULL, 8);
}

static int extract(const unsigned char *head)
{
    static char block[BLOCK];
    char name[101] = {0}, octal[13] = {0};
    unsigned long long size, kept;
    FILE *target;

    memcpy(name, head, 100);
    memcpy(octal, head + 124, 12);
    if (memcmp(head + 257, "ustar", 6) || !sum_is_right(head))
        return refuse("Error opening archive: Unrecognized archive format");
    if (head[156] != '0' || !name[0] || strpbrk(name, "/\\:"))
        return refuse("only plain files with plain names");
    target = fopen(name, "wb");
    if (target == NULL)
        return refuse("Can't create the file");
    for (size = strtoull(octal, NULL, 8); size; size -= kept) {
        kept = size < BLOCK ? size : BLOCK;
        if (fread(block, 1, BLOCK, stdin) != BLOCK || fwrite(block, 1, kept, target) != kept) {
            fclose(target);
            return refuse("Truncated tar archive");
        }
    }
    return fclose(target) ? refuse("Write failed") : 0;
}

int main(int argc, char **argv)
{
    static unsigned char head[BLOCK];
    static const unsigned char zeros[BLOCK];

    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stderr), _O_BINARY);
    if (argc != 3 || strcmp(argv[1], "-xmf") || strcmp(argv[2], "-"))
        return refuse("this stand-in knows `-xmf -` only");
    for (;;) {
        if (fread(head, 1, BLOCK, stdin) != BLOCK)
            return refuse("Truncated tar archive");
        if (!memcmp(head, zeros, BLOCK))
            break;
        if (extract(head))
            return 1;
    }
    while (fread(head, 1, BLOCK, stdin))
        continue;
    return 0;
}
