package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"

	"tidemark/processor/core"
	"tidemark/state"
)

// version is set by the linker: -X main.version=…
var version = "dev"

type versionCmd struct {
	Format string `help:"text or json" enum:"text,json" default:"text"`
}

func (v *versionCmd) Run() error {
	if v.Format == "json" {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{
			"version": version, "engine": core.Engine, "journal_format": core.JournalFormat,
			"row_format": state.RowVersion, "go": runtime.Version(),
		})
	}
	fmt.Printf("tidemark %s, engine %d, journal format %d, row format %d, %s\n", version, core.Engine, core.JournalFormat, state.RowVersion, runtime.Version())
	return nil
}
