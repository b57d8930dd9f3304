package replay

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"meshd/internal/mutant"
)

// shortRetention is what a topic keeps at least for all totals to come back from it: the last snapshot, one a day, with what came since.
// Twice that leaves a day in which nobody appends.
const shortRetention = 48 * time.Hour

// checkTopic refuses a topic that would lose records whatever is done, or takes none of some, and warns of one that may.
func (k *Kafka) checkTopic(ctx context.Context) error {
	all, err := k.admin.DescribeTopicConfigs(ctx, k.cfg.Topic)
	if err != nil {
		return err
	}
	conf, err := all.On(k.cfg.Topic, nil)
	if err = errors.Join(err, conf.Err); err != nil {
		return err
	}
	settings := map[string]string{}
	for _, c := range conf.Configs {
		settings[c.Key] = c.MaybeValue()
	}
	number := func(name string) int64 { // -1: none, or no bound
		n, err := strconv.ParseInt(settings[name], 10, 64)
		if err != nil {
			return -1
		}
		return n
	}
	const how = "kafka-configs.sh --alter --entity-type topics --entity-name %s --add-config %s=%s"
	if v, ok := settings["cleanup.policy"]; ok && v != "delete" {
		return fmt.Errorf("cleanup.policy is %q, which keeps only the last change of every origin, and of windows the last publication: "+
			"name another topic, or set it to delete (what was compacted stays lost): "+how, v, k.cfg.Topic, "cleanup.policy", "delete")
	}
	if n := number("max.message.bytes"); n >= 0 && n < kafkaRecordBytes {
		return fmt.Errorf("max.message.bytes is %d, and large records would not be taken: "+how, n, k.cfg.Topic, "max.message.bytes", strconv.Itoa(kafkaRecordBytes))
	}
	return k.warnOfTopic(ctx, number)
}

// warnOfTopic says what is allowed and risky.
func (k *Kafka) warnOfTopic(ctx context.Context, number func(string) int64) error {
	warn := k.cfg.Warn
	if warn == nil || mutant.On("topics without a warning") {
		return nil
	}
	keeps, wants := time.Duration(number("retention.ms"))*time.Millisecond, k.cfg.KeepFor
	if wants == 0 {
		wants = shortRetention
	}
	if keeps >= 0 && keeps < wants {
		warn(fmt.Errorf("topic %s: retention.ms is %d (%s): a rebuild lacks what is older than that, windows for good: set it to %d at least, and to as long as "+
			"windows are wanted back", k.cfg.Topic, keeps.Milliseconds(), keeps, wants.Milliseconds()))
	}
	if n := number("retention.bytes"); n >= 0 {
		warn(fmt.Errorf("topic %s: retention.bytes is %d: what is more than that is deleted, however young: set it to -1 and keep by time", k.cfg.Topic, n))
	}
	topics, err := k.admin.ListTopics(ctx, k.cfg.Topic)
	if err != nil {
		return err
	}
	replicas := int64(topics[k.cfg.Topic].Partitions.NumReplicas())
	switch synced := number("min.insync.replicas"); {
	case synced > replicas:
		warn(fmt.Errorf("topic %s: min.insync.replicas is %d of %d replicas: nothing can be appended", k.cfg.Topic, synced, replicas))
	case replicas > 1 && synced == 1:
		warn(fmt.Errorf("topic %s: min.insync.replicas is 1 of %d replicas: records are acknowledged that one broker has alone, and are lost with it: set it to 2",
			k.cfg.Topic, replicas))
	}
	return nil
}
