package policy

// zones numbers availability zones by their names. The numbers are only
// compared with each other, within one snapshot.
type zones map[string]uint16

func (z zones) number(name string) uint16 {
	n, known := z[name]
	if !known {
		n = uint16(len(z))
		z[name] = n
	}
	return n
}

// clusters returns the indices of the cluster placement groups by their ids.
func (c *compiler) clusters() map[string]uint16 {
	at := make(map[string]uint16)
	for i := range c.o.Placements {
		if p := &c.o.Placements[i]; p.Cluster {
			at[p.ID] = c.s.placementNames.at[p.ID]
		}
	}
	return at
}

// record returns an instance's limits as the datapath reads them.
func (in *Instance) record(clusters map[string]uint16) InstanceRecord {
	r := InstanceRecord{In: in.In, Out: in.Out, InternetIn: in.InternetIn, InternetOut: in.InternetOut, Packets: in.Packets, Flow: in.Flow, Cluster: NoCluster}
	if at, is := clusters[in.Placement]; is {
		r.Cluster = at
	}
	return r
}

func (r *InstanceRecord) limits() bool {
	return r.In.Limits() || r.Out.Limits() || r.InternetIn.Limits() || r.InternetOut.Limits() || r.Packets.Limits() || r.Flow.limits()
}

func (f *FlowLimits) limits() bool {
	return f.Default.Limits() || f.ClusterTCP.Limits() || f.ClusterUDP.Limits() || f.Express.Limits()
}

// limits returns an ENI's own limits as the datapath reads them.
func (e *ENI) limits(zone uint16) ENILimits {
	return ENILimits{In: e.In, Out: e.Out, Queue: e.Queue, Pacing: e.Pacing, Zone: zone, Express: e.Express, ExpressUDP: e.ExpressUDP}
}

func (l *ENILimits) limits() bool { return l.In.Limits() || l.Out.Limits() || l.Queue.Limits() }
