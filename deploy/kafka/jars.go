package kafka

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

//go:embed pom.xml
var pom []byte

var (
	// ErrNoJava says that no java was found, neither under JAVA_HOME nor on PATH.
	ErrNoJava = errors.New("no java found; deploy/ci/install.sh installs it")
	// ErrNoMaven says that the jars are not there and mvn, which would fetch them, isn't either.
	ErrNoMaven = errors.New("no mvn found to fetch Kafka's jars; deploy/ci/install.sh installs it")
)

const (
	// manifestName is written last: a folder without it was never finished.
	manifestName = "manifest"
	// fetchLimit bounds one run of Maven; 55 MB took 10 s on an ordinary line.
	fetchLimit = 10 * time.Minute
)

// CacheDir returns the folder .cache/kafka beside the go.mod that is nearest
// above the working directory. It need not exist yet.
func CacheDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, ".cache", "kafka"), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory: give a cache folder")
		}
		dir = parent
	}
}

// Jars returns the folder with the jars that pom.xml asks for. It fetches them
// from Maven Central if they are not all there. cache "" is CacheDir.
func Jars(ctx context.Context, cache string) (string, error) {
	cache, err := resolveCache(cache)
	if err != nil {
		return "", err
	}
	unlock, err := lockCache(ctx, cache)
	if err != nil {
		return "", err
	}
	defer unlock()
	return jarsLocked(ctx, cache)
}

func jarsLocked(ctx context.Context, cache string) (string, error) {
	sum := sha256.Sum256(pom)
	dir := filepath.Join(cache, "jars-"+hex.EncodeToString(sum[:6]))
	if jarsComplete(dir) {
		return dir, nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", ErrNoMaven
	}
	tmp, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	pomFile := filepath.Join(tmp, "pom.xml")
	if err := os.WriteFile(pomFile, pom, 0o644); err != nil {
		return "", err
	}
	jars := filepath.Join(tmp, "jars")
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	// Maven's own output is of interest only when it failed.
	out, err := exec.CommandContext(ctx, mvn, "-q", "-B", "-f", pomFile, "dependency:copy-dependencies",
		"-DincludeScope=runtime", "-DoutputDirectory="+jars).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("fetching Kafka's jars: %w\n%s", errors.Join(err, ctx.Err()), out)
	}
	if err := writeManifest(jars); err != nil {
		return "", fmt.Errorf("fetching Kafka's jars: %w", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.Rename(jars, dir)
}

func writeManifest(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%d %s\n", info.Size(), e.Name())
	}
	return os.WriteFile(filepath.Join(dir, manifestName), []byte(b.String()), 0o644)
}

// jarsComplete compares names and sizes with the manifest; it does not hash.
func jarsComplete(dir string) bool {
	text, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil {
		return false
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	for _, line := range lines {
		size, name, ok := strings.Cut(line, " ")
		want, err := strconv.ParseInt(size, 10, 64)
		if !ok || err != nil {
			return false
		}
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Size() != want {
			return false
		}
	}
	return true
}

func java() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		path := filepath.Join(home, "bin", "java")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	path, err := exec.LookPath("java")
	if err != nil {
		return "", ErrNoJava
	}
	return path, nil
}

func resolveCache(cache string) (string, error) {
	var err error
	if cache == "" {
		cache, err = CacheDir()
	} else {
		cache, err = filepath.Abs(cache)
	}
	if err != nil {
		return "", err
	}
	return cache, os.MkdirAll(cache, 0o755)
}
