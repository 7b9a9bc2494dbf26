// Command node runs a real Apache Kafka for tests: the shared node of a checkout
// (start, stop, address), or one that lives as long as another command (run).
//
//	node start [-port N]      start the shared node if it does not run; print its address
//	node stop                 stop it and remove its data
//	node run -- COMMAND ...   run COMMAND with TIDEMARK_KAFKA set to a node of its own
//	node jars                 fetch Kafka's jars; print their folder
//
// Exit code 0, 1 for a failure, 2 for wrong use; run passes on the code of its command.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"tidemark/deploy/kafka"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	cancel()
	os.Exit(code)
}

func run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		return usage()
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	port := flags.Int("port", 0, "port of the broker on 127.0.0.1; 0: any free one")
	if err := flags.Parse(args[1:]); err != nil {
		return 2
	}
	options := kafka.Options{Port: *port}
	var err error
	switch verb := args[0]; {
	case verb == "run" && flags.NArg() > 0:
		return runWith(ctx, options, flags.Args())
	case flags.NArg() > 0:
		return usage()
	case verb == "jars":
		var dir string
		if dir, err = kafka.Jars(ctx, ""); err == nil {
			fmt.Println(dir)
		}
	case verb == "start":
		begin := time.Now()
		addr, started, startErr := kafka.StartShared(ctx, options)
		if err = startErr; err == nil {
			fmt.Println(addr)
			if started {
				fmt.Fprintf(os.Stderr, "Kafka is up after %.1f s. Tests use it with TIDEMARK_KAFKA=%s\n", time.Since(begin).Seconds(), addr)
			} else {
				fmt.Fprintln(os.Stderr, "Kafka was running already.")
			}
		}
	case verb == "stop":
		running, stopErr := kafka.StopShared(ctx, options)
		if err = stopErr; err == nil && !running {
			fmt.Fprintln(os.Stderr, "No Kafka was running.")
		}
	default:
		return usage()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	return 0
}

func runWith(ctx context.Context, o kafka.Options, command []string) int {
	n, err := kafka.Start(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		return 1
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "TIDEMARK_KAFKA="+n.Addr())
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	err = cmd.Run()
	code := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		code = exit.ExitCode()
	case err != nil:
		fmt.Fprintln(os.Stderr, "node:", err)
		code = 1
	}
	if err := n.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		code = max(code, 1)
	}
	return code
}

func usage() int {
	fmt.Fprintln(os.Stderr, "usage: node start [-port N] | stop | run [-port N] -- COMMAND ... | jars")
	return 2
}
