package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafka "github.com/segmentio/kafka-go"

	"tidemark/playbook"
	"tidemark/processor/core"
	"tidemark/schemas"
)

// ErrNoRule says that the playbook in force has no rule or channel of a name.
var ErrNoRule = errors.New("runtime: the playbook in force has none of that name")

// Brake writes a pause or a resume (core.ControlPause, core.ControlResume) into the
// control topic of an app that has begun. When it returns nil the record is
// acknowledged by all in-sync replicas; each task that runs takes it with its next
// fetch of that topic, which it never stops fetching, and journals where. A name that
// the playbook in force does not have is refused.
func Brake(ctx context.Context, cfg Config, kind string, b core.Brake, by string) error {
	cfg.defaults()
	r, err := core.NewBrake(kind, b, by, cfg.wall())
	if err != nil {
		return err
	}
	records, err := readControl(ctx, &cfg)
	if err != nil {
		return fmt.Errorf("read the control topic: %w", err)
	}
	f, err := inForce(records)
	if err != nil {
		return err
	}
	if f.playbook == nil || !f.begun {
		return fmt.Errorf("%w: %s holds no playbook; the first one comes with the first start of run", ErrNotBegun, cfg.Topics.Control)
	}
	if err := named(f.playbook, b); err != nil {
		return err
	}
	c := &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Transport: cfg.Transport, Timeout: 30 * time.Second}
	return writeControl(ctx, &cfg, c, []*schemas.Control{r})
}

// named holds the name of a brake against the playbook in force.
func named(pb *playbook.Playbook, b core.Brake) error {
	switch b.Scope {
	case core.PauseRule, core.PauseCampaign:
		if !pb.HasRule(b.Name) {
			return fmt.Errorf("%w: rule %q", ErrNoRule, b.Name)
		}
	case core.PauseChannel:
		if pb.Touch == nil {
			return nil // the arms of campaigns name channels freely
		}
		for i := range pb.Touch.Channels {
			if pb.Touch.Channels[i].Name == b.Name {
				return nil
			}
		}
		return fmt.Errorf("%w: channel %q", ErrNoRule, b.Name)
	}
	return nil
}
