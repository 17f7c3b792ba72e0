/* Programs for Linux that Leat refuses: one that the kernel refuses too, one that it lets root run.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tc") int beyond_the_end(struct __sk_buff *skb)
{
	return *(__u8 *)(long)skb->data;
}

SEC("tc") int tells_an_address(struct __sk_buff *skb)
{
	skb->mark = (__u32)(long)skb;
	return TC_ACT_OK;
}

SEC("tc") int harmless(struct __sk_buff *skb)
{
	return skb->len > 100 ? TC_ACT_OK : TC_ACT_SHOT;
}
