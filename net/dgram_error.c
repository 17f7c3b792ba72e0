/*
 * Error queues (ip(7), IP_RECVERR): what ICMP says about datagrams that were sent, each with the
 * beginning of the datagram. Bounded: the oldest are kept, as on Linux, where the queue shares the
 * receive buffer.
 */
#include <time.h>

#include <linux/errqueue.h>

#include "net/dgram.h"
#include "net/env.h"

static bool wants_errors(const struct net_sock *s, bool v4)
{
	return v4 ? s->recv_error : s->recv_error6;
}

static void error_free(struct net *net, struct dgram_error *e)
{
	frag_list_free(&net->pool, &e->data);
	e->next = net->dgram_error_free;
	net->dgram_error_free = e;
}

void dgram_errors_free(struct dgram_sock *ds)
{
	while (ds->errors != NULL) {
		struct dgram_error *e = ds->errors;

		ds->errors = e->next;
		error_free(ds->s.net, e);
	}
	ds->errors_tail = NULL;
	ds->error_count = 0;
}

/* Queues a copy of `from`, whose data is taken over. */
static void error_queue(struct dgram_sock *ds, struct dgram_error *from)
{
	struct net *net = ds->s.net;
	struct dgram_error *e = net->dgram_error_free;

	if (ds->error_count >= DGRAM_ERRORS || buf_low(&net->pool))
		e = NULL;
	else if (e != NULL)
		net->dgram_error_free = e->next;
	else
		e = net_slab_refill(net, &net->dgram_error_free, sizeof(*e));
	if (e == NULL) {
		frag_list_free(&net->pool, &from->data);
		return;
	}
	*e = *from;
	e->next = NULL;
	if (ds->errors_tail != NULL)
		ds->errors_tail->next = e;
	else
		ds->errors = e;
	ds->errors_tail = e;
	ds->error_count++;
}

void dgram_error_input(struct dgram_sock *ds, const struct icmp_error *error, uint32_t skip)
{
	struct net_sock *s = &ds->s;
	bool v4 = ip_addr_is_v4(&error->dst);
	bool hard = error->hard;

	if (error->error == EMSGSIZE) {
		ip_pmtu_learn(s->net, &error->dst, error->mtu);
		hard = s->pmtu_discover != IP_PMTUDISC_DONT;
	}
	if (wants_errors(s, v4)) {
		uint32_t bytes = min_u32(error->quote_bytes, DGRAM_ERROR_BYTES);
		struct dgram_error e = {
			.dst = error->dst,
			.offender = error->offender,
			.dport = error->dport,
			.error = error->error,
			.origin = v4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6,
			.type = error->type,
			.code = error->code,
			.info = error->mtu,
		};

		if (bytes <= skip || frag_list_append(&s->net->pool, &e.data, 0,
						      error->quote + skip, bytes - skip) == 0)
			error_queue(ds, &e);
	} else if (!hard || !s->connected) {
		return; /* udp(7): without IP_RECVERR only a connected socket hears of it */
	}
	sock_set_error(s, error->error);
}

void dgram_too_big(struct dgram_sock *ds, const struct dgram_send *send)
{
	struct net_sock *s = &ds->s;
	uint32_t skip = dgram_has_ports(s) ? UDP_BYTES : 0;
	uint32_t bytes = send->l4.bytes > skip ? send->l4.bytes - skip : 0;
	struct dgram_error e = {
		.dst = send->dst,
		.offender = ip_addr_is_v4(&send->dst) ? ip_addr_v4(0) : ip_addr_any6(),
		.dport = send->dport,
		.error = EMSGSIZE,
		.origin = SO_EE_ORIGIN_LOCAL,
		.info = send->route.mtu,
	};

	if (!wants_errors(s, ip_addr_is_v4(&send->dst)))
		return;
	if (frag_list_share(&s->net->pool, &e.data, &send->l4, skip,
			    min_u32(bytes, DGRAM_ERROR_BYTES)) == 0)
		error_queue(ds, &e);
	else
		frag_list_free(&s->net->pool, &e.data);
}

/* The extended error and the offender's address, as one control message. */
static void error_control(const struct dgram_error *e, struct net_msg *msg)
{
	struct {
		struct sock_extended_err err;
		struct sockaddr_storage offender;
	} body = {.err = {.ee_errno = (uint32_t)e->error,
			  .ee_origin = e->origin,
			  .ee_type = e->type,
			  .ee_code = e->code,
			  .ee_info = e->info}};
	size_t room = msg->control_bytes;
	bool v4 = ip_addr_is_v4(&e->dst);
	size_t bytes =
		sizeof(body.err) + (v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
	struct net_sock as = {.family = v4 ? AF_INET : AF_INET6};
	socklen_t unused;

	msg->control_bytes = 0;
	if (msg->control == NULL)
		return;
	if (e->origin != SO_EE_ORIGIN_LOCAL)
		sock_name_out(&as, &e->offender, 0, &body.offender, &unused);
	dgram_control_put(msg, room, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR,
			  &body, bytes);
}

ssize_t dgram_recv_error(struct net_sock *sock, struct net_msg *msg, int flags)
{
	struct dgram_sock *ds = dgram_of(sock);
	struct dgram_error *e = ds->errors;
	ssize_t done;

	msg->addr_bytes = 0;
	if (e == NULL) {
		msg->control_bytes = 0;
		return -EAGAIN;
	}
	done = dgram_copy_out(sock->net, &e->data, msg);
	if (done < 0)
		return done;
	if ((uint32_t)done < e->data.bytes)
		msg->flags |= MSG_TRUNC;
	msg->flags |= MSG_ERRQUEUE;
	if (msg->addr != NULL)
		sock_name_out(sock, &e->dst, e->dport, msg->addr, &msg->addr_bytes);
	error_control(e, msg);
	if (flags & MSG_PEEK)
		return done;
	ds->errors = e->next;
	if (ds->errors == NULL)
		ds->errors_tail = NULL;
	ds->error_count--;
	/* the pending error is the next one's */
	sock->error = ds->errors != NULL && ds->errors->origin != SO_EE_ORIGIN_LOCAL ?
			      ds->errors->error :
			      0;
	error_free(sock->net, e);
	return done;
}
