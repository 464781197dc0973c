/* A stand-in of Windows' own certutil.exe for lab hosts on Wine, whose certutil does nothing and says success.
 *
 * Understands `certutil.exe -hashfile FILE SHA256` and prints what Windows 10 prints.
 */
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#include <bcrypt.h>
#include <stdio.h>

static int failed(DWORD error)
{
    printf("CertUtil: -hashfile command FAILED: 0x8007%04lx (WIN32: %lu)\n", (unsigned long)error,
           (unsigned long)error);
    fflush(stdout);
    ExitProcess(0x80070000 | error);
}

int wmain(int argc, wchar_t **argv)
{
    static BYTE block[65536];
    BYTE digest[32];
    BCRYPT_ALG_HANDLE algorithm;
    BCRYPT_HASH_HANDLE hash;
    HANDLE file;
    DWORD got;
    int at;

    if (argc != 4 || wcscmp(argv[1], L"-hashfile") || wcscmp(argv[3], L"SHA256"))
        return failed(ERROR_INVALID_PARAMETER);
    file = CreateFileW(argv[2], GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
    if (file == INVALID_HANDLE_VALUE)
        return failed(GetLastError());
    if (BCryptOpenAlgorithmProvider(&algorithm, BCRYPT_SHA256_ALGORITHM, NULL, 0) ||
        BCryptCreateHash(algorithm, &hash, NULL, 0, NULL, 0, 0))
        return failed(ERROR_NOT_SUPPORTED);
    do {
        if (!ReadFile(file, block, sizeof block, &got, NULL))
            return failed(GetLastError());
        if (BCryptHashData(hash, block, got, 0))
            return failed(ERROR_INVALID_DATA);
    } while (got);
    if (BCryptFinishHash(hash, digest, sizeof digest, 0))
        return failed(ERROR_INVALID_DATA);
    printf("SHA256 hash of %ls:\n", argv[2]);
    for (at = 0; at < (int)sizeof digest; at++)
        printf("%02x", digest[at]);
    printf("\nCertUtil: -hashfile command completed successfully.\n");
    return 0;
}
