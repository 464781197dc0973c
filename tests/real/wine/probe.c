/* A console program for tests: does what its first argument says.
 *
 * probe argv CODE ...     prints every argument behind CODE as a JSON list in UTF-8, and ends with CODE
 * probe exit N            ends with exit code N (decimal or 0x...)
 * probe out N / err N     prints N bytes of a known pattern to stdout / stderr
 * probe both N CODE       N bytes to each stream in turn, then CODE
 * probe mix CODE          bytes that text modes and code pages would change, to both streams, then CODE
 * probe in                copies standard input to standard output
 * probe sleep SECONDS
 * probe child SECONDS     starts itself with `sleep SECONDS` and hangs as long
 * probe escape SECONDS    the same, the child outside the job and without the console
 * probe facts             memory, uptime, disk, computer name as JSON
 * probe env NAME          the value of an environment variable, UTF-8
 */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <shellapi.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <io.h>

static void put_utf8(const wchar_t *text)
{
    int size = WideCharToMultiByte(CP_UTF8, 0, text, -1, NULL, 0, NULL, NULL);
    char *bytes = malloc(size), *at;

    WideCharToMultiByte(CP_UTF8, 0, text, -1, bytes, size, NULL, NULL);
    putchar('"');
    for (at = bytes; *at; at++) {
        if (*at == '"' || *at == '\\')
            printf("\\%c", *at);
        else if ((unsigned char)*at < 0x20)
            printf("\\u%04x", *at);
        else
            putchar(*at);
    }
    putchar('"');
    free(bytes);
}

static void pattern(FILE *stream, unsigned long count)
{
    unsigned long at;

    for (at = 0; at < count; at++)
        putc((int)(at * 7 + at / 251) & 0xff, stream);
    fflush(stream);
}

static void mix(FILE *stream, int first)
{
    int round, at;

    for (round = 0; round < 200; round++) {
        for (at = 0; at < 256; at++)
            putc((at + first) & 0xff, stream);
        fwrite("\r\n\n\r\0\0\x1a\xff\xfe\r", 1, 10, stream);
    }
    fflush(stream);
}

static int start_child(const wchar_t *seconds, DWORD flags)
{
    wchar_t line[600], self[400];
    STARTUPINFOW start = {0};
    PROCESS_INFORMATION child;

    GetModuleFileNameW(NULL, self, 400);
    _snwprintf(line, 600, L"\"%ls\" sleep %ls", self, seconds);
    start.cb = sizeof start;
    if (!CreateProcessW(NULL, line, NULL, NULL, FALSE, flags, NULL, NULL, &start, &child))
        return 4;
    printf("%lu\n", (unsigned long)child.dwProcessId);
    fflush(stdout);
    Sleep((DWORD)(_wtof(seconds) * 1000));
    return 0;
}

static void facts(void)
{
    MEMORYSTATUSEX memory = {0};
    ULARGE_INTEGER free_bytes = {{0}}, size = {{0}};
    wchar_t name[MAX_COMPUTERNAME_LENGTH + 1];
    DWORD length = MAX_COMPUTERNAME_LENGTH + 1;

    memory.dwLength = sizeof memory;
    GlobalMemoryStatusEx(&memory);
    GetDiskFreeSpaceExW(L"C:\\", &free_bytes, &size, NULL);
    GetComputerNameW(name, &length);
    printf("{\"memory_bytes\": %llu, \"uptime_ms\": %llu, \"disk_bytes\": %llu, \"free_bytes\": %llu, \"name\": ",
           memory.ullTotalPhys, GetTickCount64(), size.QuadPart, free_bytes.QuadPart);
    put_utf8(name);
    puts("}");
}

int main(void)
{
    int argc, at, got;
    wchar_t **argv = CommandLineToArgvW(GetCommandLineW(), &argc);
    wchar_t value[4096];
    char block[4096];

    _setmode(_fileno(stdin), _O_BINARY);
    _setmode(_fileno(stdout), _O_BINARY);
    _setmode(_fileno(stderr), _O_BINARY);
    if (argc < 2)
        return 2;
    if (!wcscmp(argv[1], L"argv") && argc > 2) {
        putchar('[');
        for (at = 3; at < argc; at++) {
            if (at > 3)
                printf(", ");
            put_utf8(argv[at]);
        }
        puts("]");
        fflush(stdout);
        ExitProcess(wcstoul(argv[2], NULL, 0));
    }
    if (!wcscmp(argv[1], L"in")) {
        while ((got = (int)fread(block, 1, sizeof block, stdin)) > 0)
            fwrite(block, 1, got, stdout);
        return 0;
    }
    if (!wcscmp(argv[1], L"facts")) {
        facts();
        return 0;
    }
    if (argc < 3)
        return 2;
    if (!wcscmp(argv[1], L"exit"))
        ExitProcess(wcstoul(argv[2], NULL, 0));
    if (!wcscmp(argv[1], L"out"))
        pattern(stdout, wcstoul(argv[2], NULL, 0));
    else if (!wcscmp(argv[1], L"err"))
        pattern(stderr, wcstoul(argv[2], NULL, 0));
    else if (!wcscmp(argv[1], L"both")) {
        pattern(stdout, wcstoul(argv[2], NULL, 0));
        pattern(stderr, wcstoul(argv[2], NULL, 0));
        ExitProcess(argc > 3 ? wcstoul(argv[3], NULL, 0) : 0);
    } else if (!wcscmp(argv[1], L"mix")) {
        mix(stdout, 0);
        mix(stderr, 10);
        ExitProcess(wcstoul(argv[2], NULL, 0));
    } else if (!wcscmp(argv[1], L"sleep"))
        Sleep((DWORD)(_wtof(argv[2]) * 1000));
    else if (!wcscmp(argv[1], L"child"))
        return start_child(argv[2], 0);
    else if (!wcscmp(argv[1], L"escape"))
        return start_child(argv[2], CREATE_BREAKAWAY_FROM_JOB | DETACHED_PROCESS);
    else if (!wcscmp(argv[1], L"env")) {
        if (!GetEnvironmentVariableW(argv[2], value, 4096))
            return 1;
        put_utf8(value);
        putchar('\n');
    } else
        return 2;
    return 0;
}
