/* Starts one command line on Wine the way a remote shell starts it on Windows, or lists what runs.
 *
 * Four things that a Unix parent cannot do by itself: hand over the raw command line (Wine quotes an argv anew,
 * with backslashes that cmd.exe does not understand), give the program a console with a code page, learn the whole
 * 32-bit exit code (a Unix status has 8 bits), and end everything that was started when the shell is deleted (a
 * job object that dies with this process).
 *
 * host.exe run LINE-FILE RESULT-FILE CODE-PAGE [DIRECTORY]
 *     LINE-FILE holds the command line in UTF-8. RESULT-FILE gets "pid N" when the program runs and "exit N" when
 *     it has ended, or "failed N" with the error when it could not be started.
 * host.exe list
 *     One line per process: id, parent, creation time (100 ns since 1601), command line; tabs between, UTF-8.
 * host.exe kill ID ...
 *     Ends processes and what is below them (Wine 8's taskkill has no /T).
 */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <tlhelp32.h>
#include <winternl.h>
#include <fcntl.h>
#include <io.h>
#include <stdio.h>
#include <stdlib.h>

static wchar_t *read_line(const wchar_t *path)
{
    HANDLE file = CreateFileW(path, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    DWORD size, got = 0;
    char *bytes;
    wchar_t *line;
    int length;

    if (file == INVALID_HANDLE_VALUE)
        return NULL;
    size = GetFileSize(file, NULL);
    bytes = malloc(size + 1);
    if (bytes == NULL || !ReadFile(file, bytes, size, &got, NULL))
        return NULL;
    CloseHandle(file);
    bytes[got] = 0;
    length = MultiByteToWideChar(CP_UTF8, 0, bytes, -1, NULL, 0);
    line = malloc((length + 1) * sizeof(wchar_t));
    if (line != NULL)
        MultiByteToWideChar(CP_UTF8, 0, bytes, -1, line, length);
    free(bytes);
    return line;
}

static void report(const wchar_t *path, const char *what, DWORD number)
{
    char text[40];
    DWORD written;
    HANDLE file = CreateFileW(path, FILE_APPEND_DATA, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_ALWAYS, 0, NULL);

    if (file == INVALID_HANDLE_VALUE)
        return;
    WriteFile(file, text, (DWORD)snprintf(text, sizeof text, "%s %lu\n", what, (unsigned long)number), &written, NULL);
    CloseHandle(file);
}

static void job_for_children(void)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {0};
    HANDLE job = CreateJobObjectW(NULL, NULL);

    limits.BasicLimitInformation.LimitFlags = JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE | JOB_OBJECT_LIMIT_BREAKAWAY_OK;
    SetInformationJobObject(job, JobObjectExtendedLimitInformation, &limits, sizeof limits);
    AssignProcessToJobObject(job, GetCurrentProcess());
}

static int start_and_wait(wchar_t *line, DWORD flags, const wchar_t *directory, const wchar_t *result)
{
    STARTUPINFOW start = {0};
    PROCESS_INFORMATION child = {0};
    DWORD code = 0;

    start.cb = sizeof start;
    start.dwFlags = STARTF_USESTDHANDLES;
    start.hStdInput = GetStdHandle(STD_INPUT_HANDLE);
    start.hStdOutput = GetStdHandle(STD_OUTPUT_HANDLE);
    start.hStdError = GetStdHandle(STD_ERROR_HANDLE);
    SetHandleInformation(start.hStdInput, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    SetHandleInformation(start.hStdOutput, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    SetHandleInformation(start.hStdError, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT);
    if (!CreateProcessW(NULL, line, NULL, NULL, TRUE, flags, NULL, directory, &start, &child)) {
        if (result != NULL)
            report(result, "failed", GetLastError());
        return 3;
    }
    if (result != NULL)
        report(result, "pid", child.dwProcessId);
    WaitForSingleObject(child.hProcess, INFINITE);
    GetExitCodeProcess(child.hProcess, &code);
    if (result != NULL)
        report(result, "exit", code);
    return 0;
}

static wchar_t *line_of(HANDLE process)
{
    /* Wine 8 does not know ProcessCommandLineInformation, so it is read where Windows keeps it (x64 layout). */
    PROCESS_BASIC_INFORMATION basic = {0};
    UNICODE_STRING line = {0};
    BYTE *parameters = NULL;
    wchar_t *text = NULL;
    SIZE_T got;

    if (NtQueryInformationProcess(process, ProcessBasicInformation, &basic, sizeof basic, NULL) == 0 &&
        ReadProcessMemory(process, (BYTE *)basic.PebBaseAddress + 0x20, &parameters, sizeof parameters, &got) &&
        ReadProcessMemory(process, parameters + 0x70, &line, sizeof line, &got) &&
        (text = calloc(line.Length / 2 + 1, 2)) != NULL)
        ReadProcessMemory(process, line.Buffer, text, line.Length, &got);
    return text;
}

static void show(const PROCESSENTRY32W *entry)
{
    HANDLE process = OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_VM_READ, FALSE, entry->th32ProcessID);
    FILETIME created = {0}, ignored;
    static char text[200000];
    wchar_t *line = NULL;

    if (process != NULL) {
        GetProcessTimes(process, &created, &ignored, &ignored, &ignored);
        line = line_of(process);
        CloseHandle(process);
    }
    text[0] = 0;
    WideCharToMultiByte(CP_UTF8, 0, line ? line : entry->szExeFile, -1, text, sizeof text - 1, NULL, NULL);
    printf("%lu\t%lu\t%llu\t%s\n", (unsigned long)entry->th32ProcessID, (unsigned long)entry->th32ParentProcessID,
           ((unsigned long long)created.dwHighDateTime << 32) | created.dwLowDateTime, text);
    free(line);
}

static void end_tree(DWORD pid)
{
    HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    PROCESSENTRY32W entry = {sizeof entry};
    HANDLE process;
    BOOL more;

    for (more = Process32FirstW(snapshot, &entry); more; more = Process32NextW(snapshot, &entry))
        if (entry.th32ParentProcessID == pid)
            end_tree(entry.th32ProcessID);
    CloseHandle(snapshot);
    process = OpenProcess(PROCESS_TERMINATE, FALSE, pid);
    if (process != NULL) {
        TerminateProcess(process, 1);
        CloseHandle(process);
    }
}

static int list(void)
{
    HANDLE snapshot = CreateToolhelp32Snapshot(TH32CS_SNAPPROCESS, 0);
    PROCESSENTRY32W entry = {sizeof entry};
    BOOL more;

    _setmode(_fileno(stdout), _O_BINARY);
    for (more = Process32FirstW(snapshot, &entry); more; more = Process32NextW(snapshot, &entry))
        show(&entry);
    return 0;
}

int wmain(int argc, wchar_t **argv)
{
    wchar_t *line;
    UINT codepage;

    if (argc == 2 && !wcscmp(argv[1], L"list"))
        return list();
    if (argc > 2 && !wcscmp(argv[1], L"kill")) {
        while (--argc >= 2)
            end_tree(wcstoul(argv[argc], NULL, 10));
        return 0;
    }
    if (argc < 5 || wcscmp(argv[1], L"run"))
        return 2;
    if (GetConsoleOutputCP() == 0) {
        /* No console, so no code page: be started again with one that has no window. */
        job_for_children();
        return start_and_wait(_wcsdup(GetCommandLineW()), CREATE_NO_WINDOW, NULL, NULL);
    }
    codepage = (UINT)wcstoul(argv[4], NULL, 10);
    SetConsoleCP(codepage);
    SetConsoleOutputCP(codepage);
    line = read_line(argv[2]);
    return line == NULL ? 2 : start_and_wait(line, 0, argc > 5 ? argv[5] : NULL, argv[3]);
}
