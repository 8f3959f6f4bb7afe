package wiring

import (
	"testing"

	"github.com/nitrod/nitrod/internal/config"
	"github.com/nitrod/nitrod/pipeline"
	"github.com/nitrod/nitrod/policy"
)

func TestPort(t *testing.T) {
	cfg := &config.Config{Ports: []config.Port{{RxRing: 256, TxRing: 1024, LLQ: config.LLQNormal}, {}}}
	gateway := &policy.ENIRecord{Flags: policy.IsInternetGateway}
	for i, tt := range []struct {
		port int
		eni  *policy.ENIRecord
		want pipeline.Port
	}{
		{0, &policy.ENIRecord{}, pipeline.Port{Depth: 256, SendDepth: 1024, Headers: 96}},
		{1, &policy.ENIRecord{}, pipeline.Port{Depth: 1024, SendDepth: 512, Headers: 224}}, // has none
		{2, &policy.ENIRecord{}, pipeline.Port{Depth: 1024, SendDepth: 512, Headers: 224}},
		{1, gateway, pipeline.Port{Depth: 1024, SendDepth: 512}},
	} {
		got := Port(cfg, tt.port, tt.eni)
		if got.Depth != tt.want.Depth || got.SendDepth != tt.want.SendDepth || got.Headers != tt.want.Headers {
			t.Errorf("%d: %+v, want %+v", i, got, tt.want)
		}
	}
}
