//go:build unix

package telemetry

import "syscall"

// freeBytes is what a process without privileges may still write where path lies.
func freeBytes(path string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * int64(s.Bsize), nil
}
